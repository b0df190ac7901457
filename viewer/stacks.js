// Rows that lie on one spot look like one dot: the numbers that tell how many they are, beside it.

/** No layer's id has a colon. */
const SOURCE = 'viewer:stacks';
/** From this zoom on dots stand apart, so that a number is seen to belong to one of them. */
const CLOSE = 16;
/** From how many rows on a spot is numbered at the zooms before: such a spot of rows is there only where a filter leaves few of them. */
const CROWDED = 20;
const NONE = { type: 'FeatureCollection', features: [] };

/** A city's style with the numbers above its dots, written as `tileserver/styles/marks.py` writes those of aggregates. */
export function withStacks(style) {
  const layout = {
    'text-field': ['get', 'point_count'],
    'text-font': ['Noto Sans Bold'],
    'text-size': 11,
    'text-anchor': 'bottom-left',
    'text-offset': [0.3, -0.2],
    'symbol-sort-key': ['-', ['get', 'point_count']], // where there is no room for all, the small ones go
  };
  const paint = { 'text-color': '#1f2328', 'text-halo-color': '#f7f6f3', 'text-halo-width': 1.5, 'text-opacity': 0, 'text-opacity-transition': { duration: 0 } };
  const layer = { id: SOURCE, type: 'symbol', source: SOURCE, layout, paint };
  return { ...style, sources: { ...style.sources, [SOURCE]: { type: 'geojson', data: NONE } }, layers: [...style.layers, layer] };
}

/** Whether a source is that of the numbers. */
export function isOfStacks(source) {
  return source === SOURCE;
}

/**
 * The spots on which several rows lie, of whatever layers, as GeoJSON points with `point_count`.
 *
 * Positions are those of the tiles, whose side has 4,096 steps, an eighth of a pixel where a tile is as large as it is meant: a number
 * tells what looks like one dot, not that the rows were given the same position.
 *
 * @param {object[]} features rows as `queryRenderedFeatures` finds them, maybe more than once: as an icon and as a name
 * @param {number} least how many rows a spot has at the least
 */
export function stacks(features, least) {
  const spots = new Map();
  for (const { source, id, geometry } of features) {
    if (geometry.type !== 'Point') continue;
    const spot = geometry.coordinates.join();
    if (!spots.has(spot)) spots.set(spot, { geometry, rows: new Set() });
    spots.get(spot).rows.add(`${source} ${id}`);
  }
  const several = [...spots.values()].filter(({ rows }) => rows.size >= least);
  return { type: 'FeatureCollection', features: several.map(({ geometry, rows }) => ({ type: 'Feature', properties: { point_count: rows.size }, geometry })) };
}

/** Keeps the numbers true: counted while the map rests, gone as soon as dots may become others. */
export class Stacks {
  constructor(map) {
    this.map = map;
    this.sight = '';
    this.isShown = false;
  }

  /** Counts what is drawn of some sources. To be told of each rest of the map; one that the numbers themselves lead to changes nothing. */
  count(sources) {
    const sight = this.seen();
    if (sight !== this.sight) {
      this.sight = sight;
      this.level = Math.floor(this.map.getZoom());
      this.draw(stacks(this.rows(sources), this.level < CLOSE ? CROWDED : 2));
    } else if (!this.isShown) {
      this.isShown = true;
      this.map.setPaintProperty(SOURCE, 'text-opacity', 1);
    }
  }

  /** Other dots are to come. */
  clear() {
    this.sight = '';
    if (!this.isShown) return;
    this.isShown = false;
    this.map.setPaintProperty(SOURCE, 'text-opacity', 0); // at once; the empty data take their way through a worker
    this.draw(NONE);
  }

  /** Tiles of another zoom put other rows together. */
  zoomed() {
    if (Math.floor(this.map.getZoom()) !== this.level) this.clear();
  }

  seen() {
    const { clientWidth, clientHeight } = this.map.getContainer();
    return [...this.map.getCenter().toArray(), this.map.getZoom(), clientWidth, clientHeight].join();
  }

  /** What is drawn of rows as a dot or an icon; an aggregate has a number of its own. */
  rows(sources) {
    const isOfDots = ({ type, source, sourceLayer }) => (type === 'circle' || type === 'symbol') && source === sourceLayer && sources.includes(source);
    const layers = this.map.getLayersOrder().filter((id) => isOfDots(this.map.getLayer(id)));
    return layers.length ? this.map.queryRenderedFeatures({ layers, filter: ['!', ['has', 'cluster']] }) : [];
  }

  draw(data) {
    if (!data.features.length && this.isEmpty) return;
    this.isEmpty = !data.features.length;
    this.map.getSource(SOURCE).setData(data);
  }
}
