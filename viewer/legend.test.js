import assert from 'node:assert/strict';
import { test } from 'node:test';

import { colorOf, inOrder, legends } from './legend.js';

const entries = [
  { value: 'B', label: 'Burglary', color: '#111111' },
  { value: 'A', label: 'Arson', color: '#222222' },
  { value: null, label: 'Other', color: '#888888' },
];
const metadata = { 'tileserver:shape': 'circle', 'tileserver:field': 'offense', 'tileserver:legend': entries };
const style = {
  layers: [
    { id: 'background', type: 'background' },
    { id: 'incidents-2', type: 'circle', source: 'incidents' },
    { id: 'incidents', type: 'circle', source: 'incidents', metadata },
  ],
};

test('a legend is what the style says', () => {
  assert.deepEqual(legends(style), { incidents: { shape: 'circle', field: 'offense', entries } });
});

test('a value without a color of its own has that of all others, and another field none', () => {
  const { incidents } = legends(style);
  assert.equal(colorOf(incidents, 'offense', 'A'), '#222222');
  assert.equal(colorOf(incidents, 'offense', 'Z'), '#888888');
  assert.equal(colorOf(incidents, 'status', 'A'), null);
  assert.equal(colorOf(undefined, 'offense', 'A'), null);
});

test('values with a color come first, in the order of the legend, the others as they came', () => {
  const values = ['Z', 'A', 'Y', 'B'].map((value) => ({ value }));
  const names = (field) => inOrder(legends(style).incidents, field).map(({ value }) => value);
  assert.deepEqual(names({ name: 'offense', values }), ['B', 'A', 'Z', 'Y']);
  assert.deepEqual(names({ name: 'status', values }), ['Z', 'A', 'Y', 'B']);
});
