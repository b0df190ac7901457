import assert from 'node:assert/strict';
import { test } from 'node:test';

import { endedLongAgo, summary } from './panel.js';
import { speak } from './words.js';

const words = speak('en', ['en-US']);
const schools = { id: 'schools', kind: 'places', title: 'Schools', fields: [] };
const hills = { id: 'hills', kind: 'raster', title: 'Hills', fields: [] };
const photo = { id: 'photo', kind: 'raster', title: 'From the air', fields: [] };
const told = (layers, answers = []) => summary({ layers }, [schools, hills, photo], new Map(answers), words);

test('pictures alone are named, as there is nothing to count', () => {
  assert.equal(told([]), 'No layer is chosen.');
  assert.equal(told(['hills']), 'On the map: Hills.');
  assert.equal(told(['hills', 'photo']), 'On the map: Hills and From the air.');
});

test('beside pictures the rest is counted, once the count is there', () => {
  assert.equal(told(['hills', 'schools']), '');
  assert.equal(told(['hills', 'schools'], [['schools', { count: 3 }]]), '3\u00a0schools.');
});

test('a filter that leaves nothing of a layer is told', () => {
  const reports = { id: 'reports', kind: 'events', title: 'Reports', fields: [{ name: 'offense', role: 'category' }] };
  const answers = new Map([['reports', { count: 0 }], ['schools', { count: 3 }]]);
  const say = (categories) => summary({ layers: ['schools', 'reports'], categories }, [reports, schools], answers, words);
  assert.equal(say({ reports: { offense: ['NOPE'] } }), 'No reports match the filters. 3\u00a0schools.');
  assert.equal(say({}), '0\u00a0reports and 3\u00a0schools.');
});

test('a layer without rows is no matter of filters', () => {
  const bikes = { id: 'bikes', kind: 'places', title: 'Bikes', rows: 0, fields: [{ name: 'make', role: 'category' }] };
  const state = { layers: ['bikes'], categories: { bikes: { make: ['X'] } } };
  assert.equal(summary(state, [bikes], new Map([['bikes', { count: 0 }]]), words), 'No bikes yet.');
});

test('of the shown layers those are told whose data end more than a month ago', () => {
  const of = (id, day, rows = 9) => ({ id, rows, complete_through: `${day}T12:00:00Z`, fields: [{ name: 'at', role: 'time' }] });
  const layers = [of('old', '2024-11-22'), of('new', '2025-11-20'), of('hidden', '2024-11-22'), of('empty', '2024-11-22', 0), { ...schools, complete_through: '2024-11-22T12:00:00Z' }];
  const state = { layers: ['old', 'new', 'empty', 'schools'] };
  assert.deepEqual(endedLongAgo(state, layers, Date.parse('2025-11-22')).map(({ id }) => id), ['old']);
});
