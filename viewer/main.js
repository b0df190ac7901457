// The viewer: asks the server what there is, and keeps address, panel and map in one state.

import { getJson, Refusal, withQuery } from './api.js';
import { legends } from './legend.js';
import { Panel, summary } from './panel.js';
import { pictures, withPictures } from './pictures.js';
import { withStacks } from './stacks.js';
import { filterQuery, format, indicators, parse, readable } from './state.js';
import { speak } from './words.js';

/** Choices that follow each other sooner than this, in milliseconds, are asked for together; one alone is asked for at once. */
const SETTLE = 150;

const page = Object.fromEntries([...document.querySelectorAll('[id]')].map((each) => [each.id, each]));
const words = speak(new URLSearchParams(location.search).get('lang') ?? '', navigator.languages);
const drawing = Promise.all([import('./map.js'), import('./basemap.js')]);

const answers = new Map();
const counted = new Map();
let layers;
let state;
let panel;
let map;
let counting = new AbortController();
let settling;
let applied = -SETTLE;

translate();
followSheet();
await begin();

async function begin() {
  try {
    const addresses = ['/layers', `/styles/all.json?lang=${words.language}`];
    const [found, style] = await Promise.all(addresses.map((url) => getJson(url, { trouble })));
    const served = found.layers.map(words.translated);
    const below = pictures(served, words);
    layers = [...served.filter(({ kind }) => kind !== 'raster'), ...below];
    const { waiting } = found;
    if (!indicators(layers).length && !waiting.length) tell(words.empty);
    state = parse(location.search, layers);
    const context = { layers, waiting, last: state.last, style: withStacks(withPictures(style, below, indicators(layers))), legends: legends(style), words };
    panel = new Panel(page, { ...context, change, zoomTo: (extent) => map.fit(extent) });
    apply();
    addEventListener('popstate', goBack);
    await draw(context);
  } catch (error) {
    refused(error);
  }
}

async function draw(context) {
  const [{ CityMap }, { overBasemap }] = await drawing;
  const over = await overBasemap(context.style, () => tell(words.noBasemap));
  try {
    map = new CityMap(page.map, state, { ...context, ...over, moved, trouble, busy, refused, tell });
    panel.update(state, map.sight());
  } catch (error) {
    if (error.name !== 'GPUInitializationError') throw error;
    tell(words.noGraphics);
  }
}

function change(update) {
  tell('');
  state = update(state);
  history.pushState(null, '', format(state));
  apply();
}

function goBack() {
  state = parse(location.search, layers);
  if (state.view) map?.look(state.view);
  apply();
}

function moved(view) {
  state = { ...state, view };
  history.replaceState(null, '', format(state));
  panel.update(state, map?.sight());
}

function apply() {
  panel.update(state, map?.sight());
  const titles = layers.filter((layer) => state.layers.includes(layer.id)).map((layer) => layer.title);
  document.title = [words.page, ...titles].join(' · ');
  clearTimeout(settling);
  const isAlone = performance.now() - applied > SETTLE;
  applied = performance.now();
  settling = setTimeout(ask, isAlone ? 0 : SETTLE);
}

function ask() {
  map?.show(state);
  count();
}

/** Asks for the counts that the state has changed, and says them once they are there. */
function count() {
  counting.abort();
  counting = new AbortController();
  for (const layer of indicators(layers)) {
    const query = filterQuery(state, layer);
    if (counted.get(layer.id) === query) continue;
    counted.delete(layer.id);
    answers.delete(layer.id);
    countOne(layer, query, counting.signal);
  }
  say();
}

async function countOne(layer, query, signal) {
  try {
    const answer = await getJson(withQuery(`/count/${layer.id}`, query), { signal, trouble });
    counted.set(layer.id, query);
    answers.set(layer.id, answer);
    panel.count(layer, answer);
    say();
  } catch (error) {
    if (error.name !== 'AbortError') refused(error);
  }
}

function say() {
  const text = summary(state, layers, answers, words);
  if (text) page.sentence.textContent = text;
}

function tell(text) {
  page.status.textContent = text;
  page.status.hidden = !text;
}

function trouble(isTrouble) {
  if (isTrouble) tell(words.trouble);
  else if (page.status.textContent === words.trouble) tell('');
}

/** Tells what the server refused; any other error is a fault of the viewer and goes to the console. */
function refused(error) {
  if (!(error instanceof Refusal)) throw error;
  page.sentence.textContent = '';
  tell(words.refused(error.message));
}

function busy(isBusy) {
  page.map.setAttribute('aria-busy', isBusy);
}

function translate() {
  document.documentElement.lang = words.language;
  for (const each of document.querySelectorAll('[data-word]')) each.textContent = words[each.dataset.word];
  page.language.lang = page.language.hreflang = words.otherLanguageTag;
  const asked = new URLSearchParams(location.search);
  asked.set('lang', words.otherLanguageTag);
  page.language.href = `?${readable(asked)}`; // whoever clicks before the layers are known keeps what the address asks for
  page.language.hidden = false;
  page.sentence.textContent = words.loading;
}

/** On a small screen the panel is a sheet below the map; the map leaves room for what of it is always seen. */
function followSheet() {
  page.sheet.addEventListener('click', () => {
    page.sheet.setAttribute('aria-expanded', page.sheet.getAttribute('aria-expanded') === 'false');
  });
  new ResizeObserver(([{ target }]) => {
    document.documentElement.style.setProperty('--summary', `${target.offsetHeight}px`);
  }).observe(page.summary);
}
