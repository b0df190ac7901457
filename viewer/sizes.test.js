import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withSizesTogether } from './sizes.js';

const size = (from, above, radius, color = '#123456') => ({
  id: `reports-${from}`,
  type: 'circle',
  source: 'reports',
  filter: ['all', ['has', 'cluster'], ['>=', 'point_count', from], ...(above ? [['<', 'point_count', above]] : [])],
  metadata: { 'tileserver:from': from },
  paint: { 'circle-color': color, 'circle-radius': ['interpolate', ['linear'], ['zoom'], 8, radius, 12, 2 * radius] },
});
const rows = { id: 'reports', type: 'circle', source: 'reports', filter: ['!has', 'cluster'], paint: { 'circle-radius': 3 } };

test('the sizes of aggregates become one layer, whose radius goes by the count and the zoom', () => {
  const { layers } = withSizesTogether({ layers: [size(20, 0, 5), size(5, 20, 4), size(2, 5, 3), rows] });
  assert.deepEqual(layers.map(({ id }) => id), ['reports-2', 'reports']);
  assert.deepEqual(layers[0].filter, ['all', ['has', 'cluster']]);
  const by = (...radii) => ['step', ['get', 'point_count'], radii[0], 5, radii[1], 20, radii[2]];
  assert.deepEqual(layers[0].paint['circle-radius'], ['interpolate', ['linear'], ['zoom'], 8, by(3, 4, 5), 12, by(6, 8, 10)]);
  assert.equal(layers[1], rows);
});

test('what looks different otherwise stays a layer of its own', () => {
  const { layers } = withSizesTogether({ layers: [size(5, 0, 4, '#ffffff'), size(2, 5, 3), rows] });
  assert.deepEqual(layers.map(({ id }) => id), ['reports-5', 'reports-2', 'reports']);
});
