// The map: holds exactly the chosen layers, under their filters, tells where it looks, and what lies at a place.

import { AttributionControl, MapLibreMap, NavigationControl, Popup, ScaleControl, setWorkerCount } from './vendor/maplibre-gl/maplibre-gl.mjs';

import { detail, Refusal, withQuery } from './api.js';
import { onlyWanted } from './attributes.js';
import { isBelow } from './basemap.js';
import { firstExtent } from './extent.js';
import { popupContent } from './popup.js';
import { isOfStacks, Stacks } from './stacks.js';
import { filterQuery, isDrawn } from './state.js';

/** Tiles are read on as many threads; MapLibre takes one by itself. */
const READERS = 2;
const REACH = 6;
/** How long the map goes on showing the old filter, in milliseconds, while it lacks some tiles of the new one. */
const TOGETHER = 250;
const MOST_AT_A_PLACE = 25;
const FIT = { padding: 24, maxZoom: 15 };
const WAITS = [2_000, 4_000, 8_000, 15_000, 30_000];

setWorkerCount(READERS);

export class CityMap {
  /**
   * @param {HTMLElement} container its property `map` becomes MapLibre's own object, for scripts and tests
   * @param {object} context layers, style, transformRequest, legends, words; and whom to tell: moved, trouble, busy, refused, tell
   * @throws {Error} named GPUInitializationError where the browser has no WebGL 2
   */
  constructor(container, state, context) {
    this.context = context;
    this.layers = new Map(context.layers.map((layer) => [layer.id, layer]));
    this.state = state;
    this.failures = new Map();
    this.renewed = new Set();
    this.overtaken = new Set();
    this.map = container.map = new MapLibreMap({
      container,
      style: this.shownStyle(),
      transformRequest: context.transformRequest,
      ...startingView(state, context.layers),
      attributionControl: false,
      dragRotate: false,
      touchPitch: false,
      maxPitch: 0,
      fadeDuration: 0, // numbers and names come and go with their dots
      locale: { ...context.words.locale, 'Map.Title': context.words.map },
    });
    this.ready = this.map.once('style.load');
    this.stacks = new Stacks(this.map);
    this.waiting = new Set();
    this.repaint = this.map.triggerRepaint.bind(this.map); // MapLibre has no other way to hold frames back
    this.map.triggerRepaint = () => {
      if (!this.waiting.size || this.map.isMoving()) this.repaint();
    };
    this.seen = this.view();
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.addControls(container);
    this.listen(container);
  }

  addControls(container) {
    const { tag } = this.context.words;
    this.map.addControl(new NavigationControl({ showCompass: false }), 'top-right');
    this.map.addControl(new AttributionControl({ compact: container.clientWidth < 640 }), 'bottom-right');
    this.map.addControl(new ScaleControl({ unit: /^en(-US)?$|-US$/.test(tag) ? 'imperial' : 'metric' }), 'bottom-left');
  }

  listen(container) {
    const { map, context } = this;
    map.on('moveend', () => this.moved());
    map.on('dataloading', () => context.busy(true));
    map.on('zoom', () => this.stacks.zoomed());
    map.on('idle', () => {
      context.busy(false);
      this.stacks.count(this.state.layers);
    });
    map.on('sourcedata', (event) => {
      if (event.tile && event.isSourceLoaded) this.release(event.sourceId);
      this.recovered(event);
      this.caughtUp(event);
    });
    map.on('error', (event) => this.failed(event));
    map.on('click', (event) => this.open(event.point));
    map.on('mousemove', (event) => this.point(event.point));
    map.getCanvas().addEventListener('keydown', (event) => {
      if (event.key === 'Enter') this.openMiddle();
    });
    container.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.close();
    });
  }

  /** A map that only changed its size looks where it did. */
  moved() {
    const view = this.view();
    if (JSON.stringify(view) === JSON.stringify(this.seen)) return;
    this.seen = view;
    this.context.moved(view);
  }

  view() {
    const { lng, lat } = this.map.getCenter();
    return { zoom: this.map.getZoom(), latitude: lat, longitude: lng };
  }

  look({ zoom, latitude, longitude }) {
    this.map.jumpTo({ zoom, center: [longitude, latitude] });
  }

  /** Looks at the whole of an extent, at once: between far places there is nothing to see on the way. */
  fit(extent) {
    this.map.fitBounds(extent, { ...FIT, animate: false });
  }

  /** What is in view: west, south, east and north, and how near. */
  sight() {
    return { bounds: this.map.getBounds().toArray().flat(), zoom: this.map.getZoom() };
  }

  /** Brings the map to a state's layers and filters. */
  async show(state) {
    await this.ready;
    const before = this.state;
    this.state = state;
    for (const layer of this.context.layers) {
      const isThere = Boolean(this.map.getSource(layer.id));
      if (this.isShown(layer) !== isThere) isThere ? this.remove(layer.id) : this.add(layer.id);
      else if (isThere && filterQuery(before, layer) !== filterQuery(state, layer)) this.renew(layer.id);
    }
    this.popup?.remove();
  }

  add(id) {
    this.stacks.clear();
    const { layers } = this.context.style;
    this.map.addSource(id, this.source(id));
    for (const [index, layer] of layers.entries()) {
      if (layer.source !== id) continue;
      const above = layers.slice(index + 1).find((each) => this.map.getLayer(each.id));
      this.map.addLayer(layer, above?.id);
    }
  }

  remove(id) {
    this.stacks.clear();
    for (const layer of this.context.style.layers) if (layer.source === id) this.map.removeLayer(layer.id);
    this.map.removeSource(id);
    this.forgive(id);
    this.renewed.delete(id);
    this.overtaken.delete(id);
  }

  /** Asks for a source's tiles anew, under the filter of now; the old ones stay until then. */
  renew(id) {
    this.stacks.clear();
    this.renewed.add(id);
    this.hold(id);
    const { tiles, url } = this.source(id);
    const source = this.map.getSource(id);
    tiles ? source.setTiles(tiles) : source.setUrl(url);
  }

  /** The new tiles of a source are shown together: a map under two filters at once would mislead, and each painting takes time. */
  hold(id) {
    this.waiting.add(id);
    clearTimeout(this.held);
    this.held = setTimeout(() => this.release(...this.waiting), TOGETHER);
  }

  release(...ids) {
    const released = ids.filter((id) => this.waiting.delete(id));
    if (!released.length || this.waiting.size) return;
    clearTimeout(this.held);
    queueMicrotask(() => this.map.redraw()); // at once, when who told of the last tile is done, and not with the next frame
  }

  /**
   * A tile that was still on its way when its source changed stays as it was under the old filter (maplibre-gl-js issue 6251):
   * once such a source has come to rest, it is asked again.
   */
  caughtUp({ sourceId, sourceDataType, isSourceLoaded }) {
    if (sourceDataType === 'metadata' && this.renewed.delete(sourceId) && !isSourceLoaded) this.overtaken.add(sourceId);
    else if (isSourceLoaded && this.overtaken.delete(sourceId)) {
      this.stacks.clear();
      this.map.refreshTiles(sourceId);
    }
  }

  isShown(layer) {
    return isDrawn(layer) && (layer.basemap || this.state.layers.includes(layer.id));
  }

  source(id) {
    const source = this.context.style.sources[id];
    if (isBelow(id) || isOfStacks(id)) return source;
    const layer = this.layers.get(id);
    const query = filterQuery(this.state, layer);
    return source.type === 'vector' ? tilesOf(layer, query && [query, this.wanted(layer)].filter(Boolean).join('&')) : { ...source, url: withQuery(source.url, query) };
  }

  /** As a parameter; nothing where tiles carry all attributes. */
  wanted(layer) {
    return onlyWanted(layer, this.context.style.layers.filter(({ source }) => source === layer.id));
  }

  /** Whether the rows on the map may lack attributes. */
  isPartial(layer) {
    return Boolean(filterQuery(this.state, layer) && this.wanted(layer));
  }

  shownStyle() {
    const { style, layers } = this.context;
    const always = Object.keys(style.sources).filter((id) => isBelow(id) || isOfStacks(id));
    const shown = [...always, ...layers.filter((layer) => this.isShown(layer)).map(({ id }) => id)];
    return {
      ...style,
      sources: Object.fromEntries(shown.map((id) => [id, this.source(id)])),
      layers: style.layers.filter(({ source }) => !source || shown.includes(source)),
    };
  }

  /** What is shown around a point of the canvas, each once, the nearest first, areas last. */
  at(point, reach = REACH) {
    const { x, y } = point;
    const layers = this.map.getLayersOrder().filter((id) => this.state.layers.includes(this.map.getLayer(id).source));
    const found = new Map();
    for (const feature of this.map.queryRenderedFeatures([[x - reach, y - reach], [x + reach, y + reach]], { layers })) {
      const { source, geometry, properties } = feature;
      const layer = this.layers.get(source);
      const place = geometry.type === 'Point' ? geometry.coordinates : null;
      const distance = place ? distanceBetween(this.map.project(place), point) : layer.kind === 'areas' ? 2 * reach : reach;
      const isPartial = !properties.cluster && this.isPartial(layer);
      found.set(`${source} ${properties.id ?? geometry.coordinates}`, { layer, properties, place, distance, isPartial });
    }
    return [...found.values()].sort((one, other) => one.distance - other.distance).slice(0, MOST_AT_A_PLACE);
  }

  point(point) {
    const onFeature = this.at(point, 2).some(({ layer }) => layer.kind !== 'areas');
    this.map.getCanvas().style.cursor = onFeature ? 'pointer' : '';
  }

  openMiddle() {
    const { clientWidth, clientHeight } = this.map.getCanvas();
    if (!this.open({ x: clientWidth / 2, y: clientHeight / 2 }, 3 * REACH)) this.context.tell(this.context.words.emptyMiddle);
  }

  /** Opens a popup for what lies at a point; false if there is nothing. */
  open(point, reach) {
    const found = this.at(point, reach);
    if (!found.length) return false;
    const place = found[0].place ?? this.map.unproject([point.x, point.y]);
    const zoomIn = () => {
      this.close();
      this.map.easeTo({ center: place, zoom: this.map.getZoom() + 2 });
    };
    const grown = () => this.popup.setLngLat(place); // so that it finds its place anew
    this.popup?.remove();
    // By itself the focus goes to the first button, and a long popup would open scrolled down to it.
    this.popup = new Popup({ maxWidth: 'min(20rem, 85vw)', offset: 6, focusAfterOpen: false })
      .setLngLat(place)
      .setDOMContent(popupContent(found, { ...this.context, state: this.state, zoom: this.map.getZoom(), zoomIn, grown }))
      .addTo(this.map);
    this.popup.getElement().querySelector('h2').focus({ preventScroll: true });
    return true;
  }

  close() {
    this.popup?.remove();
    this.map.getCanvas().focus();
  }

  /** A source that fails is asked again, less and less often; a refusal is told and left. */
  async failed({ error, sourceId, tile }) {
    if (!sourceId) throw error;
    if (isBelow(sourceId)) return; // what lies below may have gaps
    if (tile) delete tile.actor; // MapLibre 6.17 would otherwise wait for ever for the answer that failed
    if (error.status >= 400 && error.status < 500) {
      this.context.refused(new Refusal(await detail(new Response(error.body, { status: error.status }))));
      return;
    }
    this.context.trouble(true);
    const failure = this.failures.get(sourceId) ?? { times: 0, timer: null };
    failure.isOfTile = Boolean(tile);
    this.failures.set(sourceId, failure);
    failure.timer ??= setTimeout(() => this.askAgain(sourceId, failure), WAITS[Math.min(failure.times, WAITS.length - 1)]);
  }

  askAgain(sourceId, failure) {
    failure.timer = null;
    failure.times += 1;
    this.renew(sourceId);
  }

  recovered({ sourceId, isSourceLoaded, tile }) {
    const failure = this.failures.get(sourceId);
    if (failure?.times && !failure.timer && isSourceLoaded && (tile || !failure.isOfTile)) this.forgive(sourceId);
  }

  forgive(sourceId) {
    clearTimeout(this.failures.get(sourceId)?.timer);
    if (this.failures.delete(sourceId) && !this.failures.size) this.context.trouble(false);
  }
}

/** A source of what the layer's TileJSON would say, so that another filter is asked for without a way to the server before. */
function tilesOf({ links, revision, minzoom, maxzoom, extent, attribution }, query) {
  const url = withQuery(links.tiles, [...(query ? [query] : []), `rev=${revision}`].join('&'));
  return { type: 'vector', tiles: [url], minzoom, maxzoom, attribution, ...(extent && { bounds: extent }) };
}

function distanceBetween(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}

/** The view that was asked for, or else all of the layers that were. */
function startingView(state, layers) {
  const { view } = state;
  if (view) return { zoom: view.zoom, center: [view.longitude, view.latitude] };
  const bounds = firstExtent(state, layers);
  return bounds ? { bounds, fitBoundsOptions: FIT } : { zoom: 1, center: [0, 0] };
}
