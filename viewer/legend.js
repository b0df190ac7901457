// What colors and shapes mean. They are read from the style, so the legend and the map cannot disagree.

import { drawing } from './element.js';

/** The legend of each layer of a style, by the layer's id: {shape, field, entries: [{value, label, color}]}. */
export function legends(style) {
  const found = {};
  for (const { source, metadata } of style.layers) {
    const entries = metadata?.['tileserver:legend'];
    if (entries) found[source] = { shape: metadata['tileserver:shape'], field: metadata['tileserver:field'] ?? null, entries };
  }
  return found;
}

/** The color of a value, or that of all others; nothing where colors stand for another field. */
export function colorOf(legend, field, value) {
  if (!legend || legend.field !== field) return null;
  return (legend.entries.find((entry) => entry.value === value) ?? legend.entries.at(-1)).color;
}

/** The values of a field as a legend lists them: those with a color of their own first, in its order. */
export function inOrder(legend, field) {
  const values = [...(field.values ?? [])];
  if (!legend || legend.field !== field.name) return values;
  const rank = new Map(legend.entries.map((entry, index) => [entry.value, index]));
  const last = legend.entries.length;
  return values.sort((one, other) => (rank.get(one.value) ?? last) - (rank.get(other.value) ?? last));
}

/** A small picture of how features of a layer look. */
export function swatch(shape, color) {
  const size = { class: 'swatch', viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true' };
  if (shape === 'circle') return drawing('svg', size, drawing('circle', { cx: 8, cy: 8, r: 5.5, fill: color }));
  const square = { x: 2.5, y: 2.5, width: 11, height: 11, rx: 1.5 };
  const paint = shape === 'outline' ? { fill: color, 'fill-opacity': 0.12, stroke: color, 'stroke-width': 2 } : { fill: color };
  return drawing('svg', size, drawing('rect', { ...square, ...paint }));
}
