import assert from 'node:assert/strict';
import { test } from 'node:test';

import { stacks, withStacks } from './stacks.js';

const row = (id, place, source = 'reports') => ({ source, id, geometry: { type: 'Point', coordinates: place } });
const [here, there, beside] = [[-92.28, 34.74], [-92.29, 34.74], [-92.2800001, 34.74]];
const numbers = (features, least = 2) => stacks(features, least).features.map(({ geometry, properties }) => [geometry.coordinates, properties.point_count]);

test('rows of one position are counted, and one that stands alone is not', () => {
  assert.deepEqual(numbers([row(1, here), row(2, there), row(3, here), row(4, beside), row(5, here)]), [[here, 3]]);
  assert.deepEqual(numbers([]), []);
});

test('a row that is drawn twice counts once, rows of two layers that share an id twice', () => {
  assert.deepEqual(numbers([row(1, here), row(1, here), row(1, there), row(1, there, 'schools')]), [[there, 2]]);
});

test('spots of fewer rows than asked for have no number, nor have shapes', () => {
  const area = { source: 'wards', id: 1, geometry: { type: 'Polygon', coordinates: [[here, there, beside, here]] } };
  assert.deepEqual(numbers([row(1, here), row(2, here), row(3, there), row(4, there), row(5, there)], 3), [[there, 3]]);
  assert.deepEqual(numbers([area, { ...area, id: 2 }]), []);
});

test('the numbers lie above all else, from a source that no layer can be named as', () => {
  const { sources, layers } = withStacks({ sources: { reports: {} }, layers: [{ id: 'reports', source: 'reports' }] });
  assert.equal(layers.length, 2);
  assert.doesNotMatch(layers[1].source, /^[a-z][a-z0-9_]*$/);
  assert.deepEqual(Object.keys(sources), ['reports', layers[1].source]);
});
