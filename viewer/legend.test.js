import assert from 'node:assert/strict';
import { test } from 'node:test';

import { atZoom, entryOf, inOrder, legends } from './legend.js';

const entries = [
  { value: 'B', label: 'Burglary', color: '#111111' },
  { value: 'A', label: 'Arson', color: '#222222' },
  { value: null, label: 'Other', color: '#888888' },
];
const metadata = { 'tileserver:shape': 'circle', 'tileserver:field': 'offense', 'tileserver:legend': entries, 'tileserver:budget': 2_000 };
const radius = (least) => ['interpolate', ['linear'], ['zoom'], 8, least, 12, 2 * least, 17, 3 * least];
const style = {
  layers: [
    { id: 'background', type: 'background' },
    { id: 'incidents-5', type: 'circle', source: 'incidents', metadata: { 'tileserver:from': 5 }, paint: { 'circle-radius': radius(4) } },
    { id: 'incidents-2', type: 'circle', source: 'incidents', metadata: { 'tileserver:from': 2 }, paint: { 'circle-radius': radius(3) } },
    { id: 'incidents-2-none', type: 'circle', source: 'incidents', paint: { 'circle-radius': radius(3) } },
    { id: 'incidents', type: 'circle', source: 'incidents', metadata },
  ],
};

test('a legend is what the style says', () => {
  const sizes = [{ from: 2, radius: radius(3) }, { from: 5, radius: radius(4) }];
  assert.deepEqual(legends(style), { incidents: { shape: 'circle', field: 'offense', entries, sizes, budget: 2_000 } });
});

test('a dot in the legend is as large as on the map', () => {
  assert.deepEqual([0, 8, 10, 12, 14.5, 17, 20].map((zoom) => atZoom(radius(4), zoom)), [4, 4, 6, 8, 10, 12, 12]);
});

test('a value without a color of its own has that of all others, and another field none', () => {
  const { incidents } = legends(style);
  assert.equal(entryOf(incidents, 'offense', 'A').color, '#222222');
  assert.equal(entryOf(incidents, 'offense', 'Z').color, '#888888');
  assert.equal(entryOf(incidents, 'status', 'A'), null);
  assert.equal(entryOf(undefined, 'offense', 'A'), null);
});

test('values with a color come first, in the order of the legend, the others as they came', () => {
  const values = ['Z', 'A', 'Y', 'B'].map((value) => ({ value }));
  const names = (field) => inOrder(legends(style).incidents, field).map(({ value }) => value);
  assert.deepEqual(names({ name: 'offense', values }), ['B', 'A', 'Z', 'Y']);
  assert.deepEqual(names({ name: 'status', values }), ['Z', 'A', 'Y', 'B']);
});

test('rows without a value are a choice of their own, before the values without a color', () => {
  const values = ['Z', 'A'].map((value) => ({ value }));
  const told = [{ value: 'A' }, { value: '' }, { value: null }];
  const names = (field) => inOrder({ field: 'offense', entries: told }, { name: 'offense', values, ...field }).map(({ value }) => value);
  assert.deepEqual(names({ without_value: 3 }), ['A', '', 'Z']);
  assert.deepEqual(names({ without_value: 0 }), ['A', 'Z']);
});

test('a number has the color of its class, which begins with its lower bound', () => {
  const classes = [
    { from: null, to: 100, color: '#1' },
    { from: 100, to: 500, color: '#2' },
    { from: 500, to: null, color: '#3' },
    { value: '', color: '#none' },
  ];
  const legend = { shape: 'square', field: 'people', entries: classes };
  assert.deepEqual([-1, 99.9, 100, 499, 500, 1e9].map((people) => entryOf(legend, 'people', people).color), ['#1', '#1', '#2', '#2', '#3', '#3']);
  assert.equal(entryOf(legend, 'people', '').color, '#none');
});
