import assert from 'node:assert/strict';
import { test } from 'node:test';

import { pictures, withPictures } from './pictures.js';
import { filterQuery, indicators, parse, start } from './state.js';

const words = { density: (title) => `${title}: density`, densityMeans: 'how many' };
const time = { name: 'at', role: 'time', type: 'datetime' };
const incidents = { id: 'incidents', kind: 'events', title: 'Incidents', rows: 9, fields: [time], links: { density: '/raster/incidents/tilejson.json' } };
const wards = { id: 'wards', kind: 'areas', title: 'Wards', fields: [], links: {} };
const parks = { id: 'parks', kind: 'shapes', basemap: true, fields: [], links: {} };
const hills = { id: 'hills', kind: 'raster', title: 'Hills', fields: [], links: { tilejson: '/raster/hills/tilejson.json' } };
const served = [parks, wards, incidents, hills];

test('pictures are the rasters, and a density for each layer of points', () => {
  const found = pictures(served, words);
  assert.deepEqual(found.map(({ id }) => id), ['hills', 'incidents.density']);
  assert.equal(found[1].title, 'Incidents: density');
});

test('what has no position has no density', () => {
  assert.deepEqual(pictures([{ ...incidents, rows_without_position: 9 }], words), []);
});

test('pictures lie above the ground and below what is listed', () => {
  const style = { sources: {}, layers: [{ id: 'sky' }, { id: 'green', source: 'parks' }, { id: 'lines', source: 'wards' }, { id: 'dots', source: 'incidents' }] };
  const drawn = withPictures(style, pictures(served, words), indicators(served));
  assert.deepEqual(drawn.layers.map(({ id }) => id), ['sky', 'green', 'hills', 'incidents.density', 'lines', 'dots']);
  assert.equal(drawn.sources.hills.url, '/raster/hills/tilejson.json');
});

test('a picture is chosen like a layer, is no indicator, and a density follows the filter of its layer', () => {
  const layers = [parks, wards, incidents, ...pictures(served, words)];
  const state = parse('?layers=hills,incidents.density&last=7d', layers);
  assert.deepEqual(state.layers, ['hills', 'incidents.density']);
  assert.deepEqual(indicators(layers), [wards, incidents]);
  assert.deepEqual(start([hills]).layers, []);
  assert.deepEqual(layers.slice(3).map((layer) => filterQuery(state, layer)), ['', 'last=7d']);
});
