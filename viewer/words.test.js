import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fieldTitle, speak, valueLabel } from './words.js';

const [english, spanish] = [speak('en', ['en-US']), speak('es', ['en-US'])];

test('both languages say the same things', () => {
  const shape = (words) => JSON.stringify(words, (key, value) => (typeof value === 'function' ? value.length : typeof value === 'string' ? '' : value));
  const without = ({ locale, ...words }) => ({ ...words, locale: {} });
  assert.equal(shape(without(english)), shape(without(spanish)));
});

test('the language is the one asked for, else the first preferred one that is spoken', () => {
  assert.equal(speak('es', ['en-US']).language, 'es');
  assert.equal(speak('', ['de-DE', 'es-MX', 'en']).language, 'es');
  assert.equal(speak('', ['es-MX']).tag, 'es-MX');
  assert.equal(speak('xx', ['de']).language, 'en');
});

test('a title is written small inside a sentence unless it begins with capitals', () => {
  assert.equal(english.found('12', 'Police incidents', 12), '12\u00a0police incidents');
  assert.equal(english.found('2', 'EMS calls', 2), '2\u00a0EMS calls');
  assert.equal(spanish.found('1', 'Árboles', 1), '1 de árboles');
});

test('a time is told on the clock of its layer, midnight as a day alone', () => {
  assert.equal(english.moment('2024-05-01T00:00:00-05:00', 'America/Chicago'), 'May 1, 2024');
  assert.match(english.moment('2024-05-01T04:30:00Z', 'America/Chicago'), /^April 30, 2024 at 11:30\s?PM$/);
  assert.match(english.moment('2024-05-01T00:00:30-05:00', 'America/Chicago'), /12:00\s?AM$/);
  assert.equal(spanish.moment('2024-05-01T00:00:00-05:00', 'America/Chicago'), '1 de mayo de 2024');
  assert.equal(english.moment('unknown', 'America/Chicago'), 'unknown');
});

test('a period that has no words of its own is told by its length', () => {
  assert.deepEqual(['', '1y', '6m', '12w'].map(english.period), ['All dates', 'Last 12 months', 'Last 6 months', 'Last 12 weeks']);
  assert.deepEqual(['6m', '12w'].map(speak('es', ['es']).period), ['Últimos 6 meses', 'Últimas 12 semanas']);
});

test('an amount comes with its unit, money as money', () => {
  assert.equal(english.amount(12345, 'USD'), '$12,345');
  assert.equal(english.amount(1234.5, 'ft²'), '1,234.5 ft²');
  assert.equal(english.amount(7, ''), '7');
});

test('fields and values have names to read', () => {
  const field = { name: 'occurred_at', title: '', values: [{ value: 'THEFT', label: 'Theft' }] };
  assert.equal(fieldTitle(field), 'Occurred at');
  assert.equal(valueLabel(field, 'THEFT', english), 'Theft');
  assert.equal(valueLabel(field, 'NEW', english), 'NEW');
  assert.equal(valueLabel(field, '', spanish), 'Sin dato');
});

test('a layer says in a language what its file says in it, and the rest as it is', () => {
  const field = { name: 'offense', title: 'Offense', values: [{ value: 'THEFT', label: 'Theft', description: '' }, { value: 'FIRE', label: 'Fire', description: '' }] };
  const es = { title: 'Incidentes', fields: { offense: { title: 'Delito', labels: { THEFT: 'Robo' } } } };
  const layer = { id: 'incidents', title: 'Incidents', description: 'All of them.', fields: [field], translations: { es } };
  const told = spanish.translated(layer);
  assert.deepEqual([told.title, told.description, told.fields[0].title], ['Incidentes', 'All of them.', 'Delito']);
  assert.deepEqual(told.fields[0].values.map(({ label }) => label), ['Robo', 'Fire']);
  assert.deepEqual(english.translated(layer).fields, layer.fields);
});
