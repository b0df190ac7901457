// What colors and shapes mean. They are read from the style, so the legend and the map cannot disagree.

import { drawing, element } from './element.js';

/**
 * The legend of each layer of a style, by the layer's id: {shape, field, entries, sizes, budget}. An entry has a label, a color, with
 * icons the path of its shape, and what it stands for: a value (null for all others), or from and to of an interval without its end.
 * A size has the count from which on a dot has it, and its radius by the zoom. Up to `budget` rows are never drawn together.
 */
export function legends(style) {
  const found = {};
  const sizes = {};
  for (const { source, metadata = {}, paint } of style.layers) {
    const { 'tileserver:legend': entries, 'tileserver:from': from } = metadata;
    if (from) (sizes[source] ??= []).push({ from, radius: paint['circle-radius'] });
    if (!entries) continue;
    const { 'tileserver:shape': shape, 'tileserver:field': field = null, 'tileserver:budget': budget = 0 } = metadata;
    found[source] = { shape, field, entries, sizes: sizes[source] ?? [], budget };
  }
  for (const legend of Object.values(found)) legend.sizes.sort((one, other) => one.from - other.from);
  return found;
}

/** What an expression of the form ["interpolate", ["linear"], ["zoom"], zoom, value, …] is at a zoom. */
export function atZoom([, , , ...stops], zoom) {
  const pairs = stops.flatMap((stop, index) => (index % 2 ? [] : [[stop, stops[index + 1]]]));
  const after = pairs.findIndex(([stop]) => stop > zoom);
  if (after <= 0) return pairs.at(after)[1]; // before the first, or after the last
  const [[low, small], [high, large]] = pairs.slice(after - 1, after + 1);
  return small + ((large - small) * (zoom - low)) / (high - low);
}

/** For how many rows a dot of each size stands: a list, and what brings it to the sizes of a zoom. */
export function sizeList({ sizes, shape }, words) {
  const dots = sizes.map(({ from, radius }, index) => {
    const dot = drawing('circle', { cx: 24, cy: 24 });
    const least = index || shape !== 'circle' ? from : 1; // a row is drawn as the smallest dot is, or as an icon
    const next = sizes[index + 1]?.from;
    const label = next ? `${words.number(least)}–${words.number(next - 1)}` : words.orMore(words.number(from));
    const picture = drawing('svg', { viewBox: '0 0 48 48', width: 48, height: 48, 'aria-hidden': 'true' }, dot);
    return { dot, radius, item: element('li', {}, picture, label) };
  });
  const scale = (zoom) => dots.forEach(({ dot, radius }) => dot.setAttribute('r', atZoom(radius, zoom)));
  return { list: element('ul', { class: 'sizes' }, ...dots.map(({ item }) => item)), scale };
}

/** What stands for a value, or for all others; nothing where colors and shapes stand for another field. */
export function entryOf(legend, field, value) {
  if (!legend || legend.field !== field) return null;
  return legend.entries.find((entry) => entry.value === value || isWithin(value, entry)) ?? legend.entries.at(-1);
}

function isWithin(value, { from, to }) {
  return typeof value === 'number' && from !== undefined && (from === null || value >= from) && (to === null || value < to);
}

/** The legend of a field's classes, which are the same in every view: a list with a caption. Nothing for categories. */
export function classList(legend, title) {
  if (!legend?.entries.some(({ from }) => from !== undefined)) return [];
  const items = legend.entries.map((entry) => element('li', { class: 'value' }, swatch(legend.shape, entry), element('span', {}, entry.label)));
  return [element('p', { class: 'note' }, title), element('ul', { class: 'classes' }, ...items)];
}

/** The values of a field as a legend lists them: those with a color of their own first, in its order. The empty one is none at all. */
export function inOrder(legend, field) {
  const values = [...(field.values ?? []), ...(field.without_value ? [{ value: '' }] : [])];
  if (!legend || legend.field !== field.name) return values;
  const rank = new Map(legend.entries.map((entry, index) => [entry.value, index]));
  const last = legend.entries.length;
  return values.sort((one, other) => (rank.get(one.value) ?? last) - (rank.get(other.value) ?? last));
}

/** The colors of a raster from its lowest to its highest value, as a bar. */
export function ramp({ id, colors }) {
  const gradient = `ramp-${id}`;
  const stops = colors.map((color, index) => drawing('stop', { offset: index / (colors.length - 1), 'stop-color': color }));
  const bar = drawing('rect', { width: '100%', height: '100%', rx: 3, fill: `url(#${gradient})` });
  return drawing('svg', { class: 'ramp', 'aria-hidden': 'true' }, drawing('linearGradient', { id: gradient }, ...stops), bar);
}

/** A small picture of how features of a class look. */
export function swatch(shape, { color, path }) {
  const size = { class: 'swatch', viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true' };
  if (path && shape === 'icon') return drawing('svg', size, drawing('path', { d: path, fill: color }));
  if (shape === 'circle') return drawing('svg', size, drawing('circle', { cx: 8, cy: 8, r: 5.5, fill: color }));
  const square = { x: 2.5, y: 2.5, width: 11, height: 11, rx: 1.5 };
  const paint = shape === 'outline' ? { fill: color, 'fill-opacity': 0.12, stroke: color, 'stroke-width': 2 } : { fill: color };
  return drawing('svg', size, drawing('rect', { ...square, ...paint }));
}
