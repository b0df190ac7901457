import assert from 'node:assert/strict';
import { test } from 'node:test';

import { summary } from './panel.js';
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
