import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  categoryFields,
  days,
  filterQuery,
  format,
  indicators,
  isPlaceless,
  parse,
  start,
  withDays,
  withLast,
  withLayer,
  withValue,
  withValues,
} from './state.js';

const category = (name) => ({ name, role: 'category', type: 'text' });
const time = { name: 'at', role: 'time', type: 'datetime' };
const incidents = { id: 'incidents', kind: 'events', rows: 9, basemap: false, fields: [time, category('offense'), category('zone')] };
const permits = { id: 'permits', kind: 'events', rows: 5, basemap: false, fields: [time, category('zone'), category('last')] };
const schools = { id: 'schools', kind: 'places', rows: 20, basemap: false, fields: [category('level')] };
const streets = { id: 'streets', kind: 'shapes', rows: 99, basemap: true, fields: [category('class')] };
const layers = [streets, schools, permits, incidents];

test('an address without a question shows the most numerous events of a year', () => {
  assert.deepEqual(parse('', layers), start(layers));
  assert.deepEqual(start(layers).layers, ['incidents']);
  assert.equal(start(layers).last, '1y');
  assert.deepEqual(start([schools]).layers, ['schools']);
  assert.equal(start([schools]).last, '');
  assert.deepEqual(start([]).layers, []);
});

test('events of no more than a year are shown from the first to the last', () => {
  const of = (first, last, complete = last) => start([{ ...incidents, time_range: [`${first}T23:00:00-06:00`, `${last}T01:00:00-06:00`], complete_through: `${complete}T01:00:00-06:00` }]).last;
  assert.equal(of('2024-05-01', '2024-05-03'), '');
  assert.deepEqual([of('2024-01-01', '2024-12-31'), of('2023-12-31', '2024-12-31')], ['', '1y']);
  assert.equal(of('2024-05-01', '2024-05-03', '2024-05-02'), '1y');
  assert.equal(start([{ ...incidents, time_range: null, complete_through: '2024-05-01T00:00:00Z' }]).last, '1y');
});

test('events without any position are not what one looks at first', () => {
  const placeless = { ...incidents, rows_without_position: 9 };
  assert.deepEqual([placeless, { ...incidents, rows_without_position: 8 }, { rows: 0, rows_without_position: 0 }].map(isPlaceless), [true, false, false]);
  assert.equal(isPlaceless({ publish: 'counts', rows: null, rows_without_position: null }), false);
  assert.deepEqual(start([placeless, permits]).layers, ['permits']);
  assert.deepEqual(start([placeless]).layers, ['incidents']);
});

test('a default filter counts until the address asks for something', () => {
  const thefts = { ...incidents, default_filter: { last: '30d', offense: 'THEFT' } };
  const open = { ...permits, default_filter: { zone: ['1', '2'] } };
  const state = parse('', [open, thefts]);
  assert.equal(state.last, '30d');
  assert.deepEqual(state.categories, { permits: { zone: ['1', '2'] }, incidents: { offense: ['THEFT'] } });
  assert.deepEqual(parse('?layers=incidents', [open, thefts]).categories, {});
  assert.deepEqual(parse(format(state), [open, thefts]), state);
});

test('every state survives the address and back', () => {
  const values = ['THEFT', 'a,b', 'a&b=c', '<script>', 'ñ ü', '50%', '+1', 'x/y', ''];
  for (const shown of [[], ['permits'], ['schools', 'incidents']]) {
    for (const last of ['', '30d', 'ytd']) {
      for (const datetime of last ? [''] : ['', '2024-01-01/..', '2024-01-01T00:00:00-05:00/2024-02-01']) {
        for (const view of [null, { zoom: 12.25, latitude: 34.74, longitude: -92.28901 }]) {
          const categories = { incidents: { offense: values, zone: ['5'] }, schools: { level: [values[1]] } };
          const state = { layers: shown, last, datetime, categories, view, lang: last ? 'es' : '' };
          assert.deepEqual(parse(format(state), layers), state);
        }
      }
    }
  }
});

test('the address is readable, with the parameters of the API', () => {
  let state = withValue(withLast(start(layers), '30d'), 'incidents', 'offense', 'THEFT', true);
  state = { ...state, view: { zoom: 12, latitude: 34.74, longitude: -92.29 } };
  assert.equal(format(state), '?layers=incidents&incidents.offense=THEFT&last=30d&map=12/34.74/-92.29');
});

test('a field without a prefix filters every layer that has it', () => {
  const state = parse('?layers=incidents,permits&zone=5&permits.zone=6&zone=7', layers);
  assert.deepEqual(state.categories, { incidents: { zone: ['5', '7'] }, permits: { zone: ['6'] } });
});

test('what an address cannot mean is left out', () => {
  const state = parse('?layers=streets,incidents,nothing,incidents&last=yesterday&map=12/91/0&streets.class=local&x=1', layers);
  assert.deepEqual(state, { layers: ['incidents'], last: '', datetime: '', categories: {}, view: null, lang: '' });
  for (const text of ['', '12', '12/1', '12/1/x', '-1/0/0', '12/0/181', '12/0/0/0']) {
    assert.equal(parse(`?map=${text}`, layers).view, null, text);
  }
});

test('a period goes before an interval, as only one of them can hold', () => {
  const state = parse('?layers=incidents&last=7d&datetime=2024-01-01', layers);
  assert.equal(state.last, '7d');
  assert.equal(state.datetime, '');
});

test('a layer is asked only for what it has', () => {
  const state = parse('?layers=&last=7d&incidents.offense=A&incidents.offense=B&level=high', layers);
  assert.equal(filterQuery(state, incidents), 'offense=A&offense=B&last=7d');
  assert.equal(filterQuery(state, schools), 'level=high');
  assert.equal(filterQuery(withDays(state, '2024-01-01', ''), permits), 'datetime=2024-01-01/..');
});

test('a field with the name of a parameter filters nothing', () => {
  assert.deepEqual(categoryFields(permits).map((field) => field.name), ['zone']);
  assert.deepEqual(parse('?layers=permits&last=7d', layers).categories, {});
});

test('the base map is no indicator', () => {
  assert.deepEqual(indicators(layers), [schools, permits, incidents]);
});

test('choosing and unchoosing leads back to where it began', () => {
  const before = start(layers);
  const layer = withLayer(withLayer(before, 'schools', true), 'schools', false);
  assert.deepEqual(layer, before);
  const one = withValue(before, 'incidents', 'offense', 'A', true);
  const two = withValue(one, 'incidents', 'offense', 'B', true);
  assert.deepEqual(two.categories, { incidents: { offense: ['A', 'B'] } });
  assert.deepEqual(withValue(two, 'incidents', 'offense', 'B', false), one);
  assert.deepEqual(withValues(two, 'incidents', 'offense', []), before);
  assert.deepEqual(before, start(layers));
});

test('days become an interval and an interval days', () => {
  const both = withDays(start(layers), '2024-01-01', '2024-02-29');
  assert.equal(both.datetime, '2024-01-01/2024-02-29');
  assert.equal(both.last, '');
  assert.deepEqual(days(both), { from: '2024-01-01', to: '2024-02-29' });
  assert.deepEqual(days(withDays(both, '', '2024-02-29')), { from: '', to: '2024-02-29' });
  assert.equal(withDays(both, '', '').datetime, '');
  assert.deepEqual(days({ datetime: '2024-05-01' }), { from: '2024-05-01', to: '2024-05-01' });
  assert.deepEqual(days({ datetime: '2024-05-01T00:00:00Z/..' }), { from: '', to: '' });
});
