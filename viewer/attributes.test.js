import assert from 'node:assert/strict';
import { test } from 'node:test';

import { onlyWanted } from './attributes.js';

const field = (name, told = {}) => ({ name, role: null, type: 'text', measure: false, ...told });
const fields = [
  field('number', { role: 'id' }),
  field('at', { role: 'time', type: 'datetime' }),
  field('offense', { role: 'category' }),
  field('loss', { type: 'number', measure: true }),
  field('address'),
];

test('tiles under a filter carry what the style reads and what aggregates tell', () => {
  assert.equal(onlyWanted({ fields }, []), 'properties=number,offense,loss');
  assert.equal(onlyWanted({ fields }, [{ layout: { 'text-field': ['get', 'address'] } }]), 'properties=number,offense,loss,address');
});

test('nothing is asked for where all attributes are wanted', () => {
  assert.equal(onlyWanted({ fields: fields.filter(({ role, measure }) => role === 'category' || measure) }, []), '');
});
