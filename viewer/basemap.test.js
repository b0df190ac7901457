import assert from 'node:assert/strict';
import { test } from 'node:test';

import { glyphsOf, isBelow, merged } from './basemap.js';

const city = {
  version: 8,
  name: 'All layers',
  glyphs: 'https://city.example/fonts/{fontstack}/{range}.pbf',
  sprite: 'https://city.example/sprites/all',
  sources: { streets: { type: 'vector' } },
  layers: [
    { id: 'streets', type: 'line', source: 'streets' },
    { id: 'streets-icon', type: 'symbol', source: 'streets', layout: { 'icon-image': 'star-blue' } },
    { id: 'streets-label', type: 'symbol', source: 'streets', layout: { 'text-font': ['Noto Sans Bold'], 'text-field': '{name}' } },
  ],
};
const base = {
  version: 8,
  glyphs: 'https://base.example/glyphs/{fontstack}/{range}.pbf?key=1',
  sprite: 'https://base.example/sprite',
  sources: { streets: { type: 'raster' } },
  layers: [{ id: 'background', type: 'background' }, { id: 'streets', type: 'raster', source: 'streets' }],
};

test('the base map lies below, and shares no name with the city', () => {
  const { layers, sources } = merged(base, city);
  assert.deepEqual(layers.map(({ id }) => id), ['basemap:background', 'basemap:streets', 'streets', 'streets-icon', 'streets-label']);
  assert.deepEqual(Object.keys(sources).filter(isBelow), ['basemap:streets']);
  assert.equal(layers[1].source, 'basemap:streets');
  assert.equal(sources.streets, city.sources.streets);
});

test('each has its own icons, also where the name is worked out for each feature', () => {
  const style = merged(base, { ...city, layers: [city.layers[1], { id: 'x', layout: { 'icon-image': ['get', 'icon'] } }] });
  assert.deepEqual(style.sprite, [{ id: 'default', url: base.sprite }, { id: 'city', url: city.sprite }]);
  assert.deepEqual(style.layers.slice(2).map(({ layout }) => layout['icon-image']), ['city:star-blue', ['concat', 'city:', ['get', 'icon']]]);
});

test('the fonts of the city come from the city, all others from where the base map has them', () => {
  const [font] = merged(base, city).layers.at(-1).layout['text-font'];
  const ask = glyphsOf(base, city);
  const address = (name) => base.glyphs.replace('{fontstack}', name).replace('{range}', '256-511');
  assert.equal(ask(address(font), 'Glyphs').url, 'https://city.example/fonts/Noto%20Sans%20Bold/256-511.pbf');
  assert.equal(ask(address(encodeURIComponent(font)), 'Glyphs').url, 'https://city.example/fonts/Noto%20Sans%20Bold/256-511.pbf');
  assert.equal(ask(address('Noto Sans Bold'), 'Glyphs').url, address('Noto Sans Bold'));
  assert.equal(ask(base.sprite, 'SpriteJSON').url, base.sprite);
});

test('a base map without icons and glyphs leaves those of the city as they are', () => {
  const { glyphs, sprite, layers } = merged({ ...base, glyphs: undefined, sprite: undefined }, city);
  assert.deepEqual([glyphs, sprite], [city.glyphs, city.sprite]);
  assert.deepEqual(layers.slice(2), city.layers);
});
