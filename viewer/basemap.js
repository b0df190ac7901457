// The base map that lies under the city's layers: another's style, or the tiles of a PMTiles archive.

/** What its sources and style layers begin with, so that none of the city's has the same name. */
const PREFIX = 'basemap:';
/** What the city's icons and fonts begin with where a base map brings its own. */
const CITY = 'city';
const PATIENCE = 10_000;

/**
 * The style of the city's layers over its base map, and what to do with requests for glyphs: each style has its own, MapLibre takes
 * one address for all.
 *
 * @param {object} city a style; `metadata['tileserver:basemap']` is the base map's address
 * @param {() => void} missing told when the base map does not load; the city's layers are shown without it
 * @returns {Promise<{style: object, transformRequest?: (url: string, type: string) => object}>}
 */
export async function overBasemap(city, missing) {
  const address = city.metadata?.['tileserver:basemap'];
  if (!address) return { style: city };
  try {
    const isArchive = new URL(address).pathname.endsWith('.pmtiles');
    const base = isArchive ? await archiveStyle(address) : absolute(await fetchStyle(address), address);
    return { style: merged(base, city), transformRequest: base.glyphs && glyphsOf(base, city) };
  } catch (error) {
    console.warn(`The base map at ${address} did not load: ${error.message}`);
    missing();
    return { style: city };
  }
}

async function fetchStyle(address) {
  const response = await fetch(address, { signal: AbortSignal.timeout(PATIENCE) });
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return response.json();
}

/** Both styles in one, the base map below. */
export function merged(base, city) {
  const sprites = [base.sprite ?? []].flat().map((sprite) => (typeof sprite === 'string' ? { id: 'default', url: sprite } : sprite));
  const own = { icons: sprites.length > 0, glyphs: Boolean(base.glyphs) };
  return {
    ...city,
    ...(base.light && { light: base.light }),
    glyphs: base.glyphs ?? city.glyphs,
    sprite: own.icons ? [...sprites, { id: CITY, url: city.sprite }] : city.sprite,
    sources: { ...below(base.sources), ...city.sources },
    layers: [...base.layers.map(renamed), ...city.layers.map((layer) => apart(layer, own))],
  };
}

function below(sources) {
  return Object.fromEntries(Object.entries(sources).map(([name, source]) => [PREFIX + name, source]));
}

function renamed(layer) {
  return { ...layer, id: PREFIX + layer.id, ...(layer.source && { source: PREFIX + layer.source }) };
}

/** A style layer of the city that asks for the city's icons and fonts where the base map has its own. */
function apart(layer, own) {
  const { 'icon-image': icon, 'text-font': fonts } = layer.layout ?? {};
  const layout = { ...layer.layout };
  if (own.icons && icon) layout['icon-image'] = typeof icon === 'string' ? `${CITY}:${icon}` : ['concat', `${CITY}:`, icon];
  if (own.glyphs && Array.isArray(fonts)) layout['text-font'] = fonts.map((font) => `${CITY}:${font}`);
  return layer.layout ? { ...layer, layout } : layer;
}

/** Whether a source is the base map's. */
export function isBelow(source) {
  return source.startsWith(PREFIX);
}

/** Requests for the city's fonts go to the city's server, all others to where the base map has its own. */
export function glyphsOf(base, city) {
  const [start] = base.glyphs.split('{fontstack}');
  return (url, type) => {
    const rest = type === 'Glyphs' && url.startsWith(start) ? decodeURIComponent(url.slice(start.length)) : '';
    if (!rest.startsWith(`${CITY}:`)) return { url };
    const [, fonts, range] = rest.match(/^([^/]*).*?([0-9]+-[0-9]+)/);
    return { url: city.glyphs.replace('{fontstack}', encodeURIComponent(fonts.replaceAll(`${CITY}:`, ''))).replace('{range}', range) };
  };
}

/** A style whose addresses hold wherever it is used: its own may be relative to it. */
function absolute(style, address) {
  const whole = (url) => (/^[a-z]+:/i.test(url) ? url : new URL(url, address).href.replace(/%7B/gi, '{').replace(/%7D/gi, '}'));
  const sources = Object.entries(style.sources).map(([name, source]) => {
    const { url, tiles, data } = source;
    return [name, { ...source, ...(url && { url: whole(url) }), ...(tiles && { tiles: tiles.map(whole) }), ...(typeof data === 'string' && { data: whole(data) }) }];
  });
  const sprite = typeof style.sprite === 'string' ? whole(style.sprite) : style.sprite?.map((each) => ({ ...each, url: whole(each.url) }));
  return { ...style, sources: Object.fromEntries(sources), ...(sprite && { sprite }), ...(style.glyphs && { glyphs: whole(style.glyphs) }) };
}

const QUIET = {
  paper: '#f7f6f3',
  land: '#ebe9e3',
  green: '#dfe9d3',
  water: '#c9dbe6',
  line: '#d5d0c4',
};

/** A quiet style for any archive: pictures as they are, shapes and lines pale, water and green by what their layers are called. */
async function archiveStyle(address) {
  const [{ PMTiles, Protocol }, { addProtocol }] = await Promise.all([import('./vendor/pmtiles/pmtiles.js'), import('./vendor/maplibre-gl/maplibre-gl.mjs')]);
  const archive = new PMTiles(address);
  const protocol = new Protocol({ metadata: true });
  protocol.add(archive);
  addProtocol('pmtiles', protocol.tile);
  const [{ tileType }, { vector_layers: layers = [] }] = await Promise.all([archive.getHeader(), archive.getMetadata()]);
  const source = `pmtiles://${address}`;
  const paper = { id: 'paper', type: 'background', paint: { 'background-color': QUIET.paper } };
  if (tileType !== 1) {
    const sources = { archive: { type: 'raster', url: source, tileSize: 256 } };
    return { version: 8, sources, layers: [paper, { id: 'archive', type: 'raster', source: 'archive' }] };
  }
  const names = layers.map(({ id }) => id);
  return { version: 8, sources: { archive: { type: 'vector', url: source } }, layers: [paper, ...names.map(fill), ...names.map(line)] };
}

function fill(name) {
  const color = /water|ocean|lake/.test(name) ? QUIET.water : /park|green|wood|forest|landcover/.test(name) ? QUIET.green : QUIET.land;
  const paint = { 'fill-color': color, 'fill-opacity': /building/.test(name) ? 0.6 : 1 };
  return { id: `${name}-fill`, type: 'fill', source: 'archive', 'source-layer': name, filter: ['==', '$type', 'Polygon'], paint };
}

function line(name) {
  const color = /water|river|stream/.test(name) ? QUIET.water : QUIET.line;
  const paint = { 'line-color': color, 'line-width': ['interpolate', ['linear'], ['zoom'], 8, 0.4, 12, 1, 16, 4] };
  return { id: `${name}-line`, type: 'line', source: 'archive', 'source-layer': name, filter: ['==', '$type', 'LineString'], paint };
}
