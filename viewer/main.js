// The viewer: asks the server what there is, and keeps address, panel and map in one state.

import { getJson, Refusal, withQuery } from './api.js';
import { legends } from './legend.js';
import { Panel, summary } from './panel.js';
import { filterQuery, format, indicators, parse } from './state.js';
import { speak } from './words.js';

const SETTLE = 150;

const page = Object.fromEntries([...document.querySelectorAll('[id]')].map((each) => [each.id, each]));
const words = speak(new URLSearchParams(location.search).get('lang') ?? '', navigator.languages);
const drawing = import('./map.js');

const answers = new Map();
const counted = new Map();
let layers;
let state;
let panel;
let map;
let counting = new AbortController();
let settling;

translate();
followSheet();
await begin();

async function begin() {
  try {
    const [found, style] = await Promise.all(['/layers', '/styles/all.json'].map((url) => getJson(url, { trouble })));
    layers = found.layers;
    if (!indicators(layers).length) tell(words.empty);
    state = parse(location.search, layers);
    const context = { layers, style, legends: legends(style), words };
    panel = new Panel(page, { ...context, change });
    apply();
    addEventListener('popstate', goBack);
    await draw(context);
  } catch (error) {
    refused(error);
  }
}

async function draw(context) {
  const { CityMap } = await drawing;
  try {
    map = new CityMap(page.map, state, { ...context, moved, trouble, busy, refused, tell });
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
  panel.update(state);
}

function apply() {
  panel.update(state);
  const titles = layers.filter((layer) => state.layers.includes(layer.id)).map(words.title);
  document.title = [words.page, ...titles].join(' · ');
  clearTimeout(settling);
  settling = setTimeout(() => {
    map?.show(state);
    count();
  }, map ? SETTLE : 0);
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
  const text = summary(state, indicators(layers), answers, words);
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
