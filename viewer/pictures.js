// Pictures below the other layers: rasters, and for each layer of points how dense its rows are, under the same filter.

import { isEmpty, isPlaceless } from './state.js';

const OPACITY = 0.8;

/**
 * @param {object[]} layers as the server lists them
 * @returns {object[]} the rasters, and a layer for each density: `of` is whose it is
 */
export function pictures(layers, words) {
  const densities = layers.filter((layer) => layer.links.density && !isEmpty(layer) && !isPlaceless(layer));
  return [
    ...layers.filter(({ kind }) => kind === 'raster'),
    ...densities.map((of) => ({
      id: `${of.id}.density`,
      kind: 'raster',
      title: words.density(of.title),
      description: words.densityMeans,
      extent: of.extent,
      initial_extent: of.initial_extent,
      fields: [],
      links: { tilejson: of.links.density },
      of,
    })),
  ];
}

/** The style with the pictures above its ground and below the layers that are listed as indicators. */
export function withPictures(style, shown, indicators) {
  const ids = new Set(indicators.map(({ id }) => id));
  const first = style.layers.findIndex(({ source }) => ids.has(source));
  const place = first < 0 ? style.layers.length : first;
  const layers = shown.map(({ id }) => ({ id, type: 'raster', source: id, paint: { 'raster-opacity': OPACITY } }));
  const sources = Object.fromEntries(shown.map(({ id, links }) => [id, { type: 'raster', url: links.tilejson, tileSize: 256 }]));
  return {
    ...style,
    sources: { ...style.sources, ...sources },
    layers: [...style.layers.slice(0, place), ...layers, ...style.layers.slice(place)],
  };
}
