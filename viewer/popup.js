// What a feature of the map says when it is asked: text only, whatever its attributes hold.

import { withQuery } from './api.js';
import { allOf } from './attributes.js';
import { element } from './element.js';
import { cellAround } from './extent.js';
import { entryOf, swatch } from './legend.js';
import { filterQuery } from './state.js';
import { fieldTitle, valueDescription, valueLabel } from './words.js';

/**
 * The content of a popup for the features at one place, one of them at a time.
 *
 * @param {{layer: object, properties: object, place: number[] | null, isPartial: boolean}[]} found at least one, the topmost first
 * @param {{words: object, legends: object, state: object, zoom: number, zoomIn: () => void, grown: () => void}} context
 */
export function popupContent(found, context) {
  const { words } = context;
  const shown = element('div');
  const content = element('div', { class: 'popup' }, shown);
  let index = 0;
  const show = () => {
    const feature = found[index];
    const hadFocus = shown.contains(document.activeElement);
    shown.replaceChildren(description(feature, context));
    if (hadFocus) shown.querySelector('h2').focus({ preventScroll: true });
    if (feature.isPartial) complete(feature);
  };
  /** Shows the tile's attributes until the others come, or instead, should they not. */
  const complete = async (feature) => {
    feature.isPartial = false;
    const properties = await allOf(feature.layer, feature.properties.id).catch(() => null);
    if (!properties) return;
    feature.properties = { ...properties, ...feature.properties };
    if (found[index] !== feature || !content.isConnected) return;
    show();
    context.grown();
  };
  if (found.length > 1) {
    const position = element('span', { 'aria-live': 'polite' });
    const turn = (step) => () => {
      index = (index + step + found.length) % found.length;
      position.textContent = words.position(words.number(index + 1), words.number(found.length));
      show();
      if (content.parentElement) content.parentElement.scrollTop = 0; // the popup scrolls, and each begins with its top
    };
    const pager = element('div', { class: 'pager' }, button(words.previous, turn(-1)), position, button(words.next, turn(1)));
    turn(0)();
    content.append(pager);
  }
  show();
  return content;
}

function button(label, act) {
  const made = element('button', { type: 'button' }, label);
  made.addEventListener('click', act);
  return made;
}

function description(feature, context) {
  return feature.properties.cluster ? aggregate(feature, context) : row(feature, context);
}

function aggregate({ layer, properties, place }, context) {
  const { words, legends, zoom, zoomIn } = context;
  const facts = [];
  for (const field of layer.fields) {
    const value = properties[field.name];
    if (field.role === 'category' && value !== undefined) facts.push([field, words.mostFrequent(valueLabel(field, value, words)), value]);
    const sum = properties[`sum_${field.name}`];
    if (sum !== undefined) facts.push([field, words.inTotal(words.amount(sum, field.unit))]);
  }
  const count = words.number(properties.point_count);
  const made = section(words.here[layer.kind](count), layer.title, facts, legends[layer.id]);
  const mayPart = Math.floor(zoom) < layer.maxzoom; // beyond it tiles are only magnified
  const said = [place ? words.together.point : words.together.square, ...(mayPart ? [] : [words.together.close])];
  made.append(element('p', { class: 'note' }, said.join(' ')));
  if (mayPart) made.append(button(words.zoomIn, zoomIn));
  else if (place) made.append(downloadOf(layer, place, context));
  return made;
}

/** The rows of a dot, under the filter that it was drawn with. */
function downloadOf(layer, place, { words, state }) {
  const filter = filterQuery(state, layer);
  const box = cellAround(place, layer.maxzoom).map((side) => side.toFixed(9));
  const query = [...(filter ? [filter] : []), `bbox=${box}`].join('&');
  return element('p', {}, element('a', { download: true, href: withQuery(layer.links.downloads.csv, query) }, words.downloadThese));
}

function row({ layer, properties }, { words, legends }) {
  const facts = [];
  for (const field of layer.fields) {
    const value = properties[field.role === 'id' ? 'id' : field.name];
    if (value !== undefined && value !== '' && field.role !== 'name') facts.push([field, valueText(layer, field, value, words), value]);
  }
  const name = properties[layer.fields.find(({ role }) => role === 'name')?.name];
  return section(name || layer.title, name ? layer.title : '', facts, legends[layer.id]);
}

function valueText(layer, field, value, words) {
  if (field.role === 'category') return valueLabel(field, value, words);
  if (field.type === 'datetime') return words.moment(value, layer.timezone);
  if (typeof value === 'number' && field.role !== 'id') return words.amount(value, field.unit);
  return String(value);
}

function section(title, subtitle, facts, legend) {
  const list = element('dl');
  for (const [field, text, value] of facts) {
    const entry = entryOf(legend, field.name, value);
    const mark = entry ? [swatch(legend.shape, entry)] : [];
    const meaning = valueDescription(field, value);
    const note = meaning ? [element('span', { class: 'note meaning' }, meaning)] : [];
    list.append(element('dt', {}, fieldTitle(field)), element('dd', {}, ...mark, text, ...note));
  }
  const below = subtitle ? [element('p', {}, subtitle)] : [];
  return element('section', {}, element('h2', { tabindex: -1 }, title), ...below, list);
}
