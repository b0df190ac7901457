// What is chosen ↔ the page's address. Pure: no page, no network. Parameters are named as in the API, so that a filter can be
// carried from the address bar to /tiles, /count and /downloads by hand.

const PERIOD = /^([1-9][0-9]{0,3}[hdwmy]|ytd)$/;
const DAY = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/;
const NOT_FILTERS = new Set(['datetime', 'last', 'bbox', 'properties']);

/**
 * @typedef {object} State
 * @property {string[]} layers ids of the layers that are shown
 * @property {string} last a period such as 30d, or nothing
 * @property {string} datetime an interval as the API takes it, or nothing; never together with `last`
 * @property {Object<string, Object<string, string[]>>} categories per layer and field the values to keep; a field without any keeps all
 * @property {{zoom: number, latitude: number, longitude: number} | null} view
 * @property {string} lang a language that was asked for, or nothing
 */

/** The layers that are listed as indicators. */
export function indicators(layers) {
  return layers.filter((layer) => !layer.basemap && layer.kind !== 'raster');
}

/** Whether a layer is on the map: of some only counts are published. */
export function isDrawn(layer) {
  return layer.publish !== 'counts';
}

/** Whether none of a layer's rows has a position. */
export function isPlaceless(layer) {
  return layer.rows > 0 && layer.rows_without_position === layer.rows;
}

/** Whether no rows have come yet. */
export function isEmpty(layer) {
  return layer.rows === 0;
}

/** The category fields by which a layer can be filtered. */
export function categoryFields(layer) {
  return layer.fields.filter((field) => field.role === 'category' && !NOT_FILTERS.has(field.name));
}

export function hasTime(layer) {
  return layer.fields.some((field) => field.role === 'time');
}

/**
 * What is shown when nothing is asked for: the most numerous events that have a place, under the layers' own default filters, else of
 * the last year, or of all dates where there are no others.
 */
export function start(layers) {
  const listed = indicators(layers);
  const events = listed.filter((layer) => layer.kind === 'events' && isDrawn(layer) && !isPlaceless(layer)).sort((one, other) => other.rows - one.rows);
  const first = events[0] ?? listed[0];
  return {
    layers: first ? [first.id] : [],
    ...startingTime(first),
    categories: startingCategories(listed),
    view: null,
    lang: '',
  };
}

function startingTime(first) {
  const { last = '', datetime = '' } = first?.default_filter ?? {};
  if (last || datetime) return { last, datetime };
  return { last: first && hasTime(first) && !isOfOneYear(first) ? '1y' : '', datetime: '' };
}

/** Whether `last=1y` leaves out nothing: the days of the layer's own clock, the last of them the one through which it is complete. */
function isOfOneYear({ time_range: range, complete_through: complete }) {
  if (!range || !complete) return false;
  const [first, last, end] = [...range, complete].map((text) => text.slice(0, 10));
  const begin = new Date(end);
  begin.setUTCDate(begin.getUTCDate() + 1);
  begin.setUTCFullYear(begin.getUTCFullYear() - 1);
  return begin.toISOString().slice(0, 10) <= first && last <= end;
}

function startingCategories(layers) {
  const categories = {};
  for (const layer of layers) {
    const given = categoryFields(layer).flatMap(({ name }) => (layer.default_filter?.[name] ? [[name, [layer.default_filter[name]].flat()]] : []));
    if (given.length) categories[layer.id] = Object.fromEntries(given);
  }
  return categories;
}

/** @returns {State} what an address asks for; what it cannot mean is left out. */
export function parse(search, layers) {
  const parameters = new URLSearchParams(search);
  const asksForLayers = parameters.has('layers');
  const asksForTime = parameters.has('last') || parameters.has('datetime');
  const categories = parseCategories(parameters, indicators(layers));
  const asksForAnything = asksForLayers || asksForTime || Object.keys(categories).length > 0;
  const usual = start(layers);
  const known = new Set(layers.filter((layer) => !layer.basemap).map((layer) => layer.id));
  const ids = (parameters.get('layers') ?? '').split(',').filter((id) => known.has(id));
  const last = PERIOD.test(parameters.get('last') ?? '') ? parameters.get('last') : '';
  return {
    layers: asksForLayers ? [...new Set(ids)] : usual.layers,
    last: asksForLayers || asksForTime ? last : usual.last,
    datetime: asksForLayers || asksForTime ? (last ? '' : (parameters.get('datetime') ?? '')) : usual.datetime,
    categories: asksForAnything ? categories : usual.categories,
    view: parseView(parameters.get('map') ?? ''),
    lang: parameters.get('lang') ?? '',
  };
}

function parseCategories(parameters, layers) {
  const categories = {};
  for (const layer of layers) {
    for (const { name } of categoryFields(layer)) {
      const own = parameters.getAll(`${layer.id}.${name}`);
      const values = own.length ? own : parameters.getAll(name);
      if (values.length) (categories[layer.id] ??= {})[name] = [...new Set(values)];
    }
  }
  return categories;
}

function parseView(text) {
  const parts = text.split('/');
  const [zoom, latitude, longitude] = parts.map(Number);
  const fits = parts.length === 3 && zoom >= 0 && zoom <= 24 && Math.abs(latitude) <= 85.06 && Math.abs(longitude) <= 180;
  return fits ? { zoom, latitude, longitude } : null;
}

/** @returns {string} the address's query, beginning with "?" */
export function format(state) {
  const parameters = new URLSearchParams();
  parameters.append('layers', state.layers.join(','));
  for (const [id, fields] of Object.entries(state.categories)) {
    for (const [name, values] of Object.entries(fields)) {
      for (const value of values) parameters.append(`${id}.${name}`, value);
    }
  }
  if (state.last) parameters.append('last', state.last);
  if (state.datetime) parameters.append('datetime', state.datetime);
  if (state.view) {
    const { zoom, latitude, longitude } = state.view;
    parameters.append('map', [round(zoom, 2), round(latitude, 5), round(longitude, 5)].join('/'));
  }
  if (state.lang) parameters.append('lang', state.lang);
  return `?${readable(parameters)}`;
}

/** @returns {string} the filter of one layer, or of the one whose density it is, as the API takes it, without "?"; empty for none */
export function filterQuery(state, { of, ...own }) {
  const layer = of ?? own;
  const parameters = new URLSearchParams();
  for (const { name } of categoryFields(layer)) {
    for (const value of state.categories[layer.id]?.[name] ?? []) parameters.append(name, value);
  }
  if (hasTime(layer) && state.last) parameters.append('last', state.last);
  if (hasTime(layer) && state.datetime) parameters.append('datetime', state.datetime);
  return readable(parameters);
}

/** Slashes, commas and colons mean nothing inside a query: as they are, a link can be read. */
export function readable(parameters) {
  return parameters.toString().replace(/%2F/g, '/').replace(/%2C/g, ',').replace(/%3A/g, ':');
}

function round(number, digits) {
  return Number(number.toFixed(digits));
}

export function withLayer(state, id, shown) {
  const others = state.layers.filter((each) => each !== id);
  return { ...state, layers: shown ? [...others, id] : others };
}

export function withValue(state, id, field, value, kept) {
  const others = (state.categories[id]?.[field] ?? []).filter((each) => each !== value);
  return withValues(state, id, field, kept ? [...others, value] : others);
}

export function withValues(state, id, field, values) {
  const { [field]: _, ...fields } = state.categories[id] ?? {};
  if (values.length) fields[field] = values;
  const { [id]: __, ...categories } = state.categories;
  if (Object.keys(fields).length) categories[id] = fields;
  return { ...state, categories };
}

export function withLast(state, last) {
  return { ...state, last, datetime: '' };
}

/** Both days are included; an empty one leaves its side open. */
export function withDays(state, from, to) {
  const datetime = from || to ? `${from || '..'}/${to || '..'}` : '';
  return { ...state, last: '', datetime };
}

/** The first and the last day of the interval, each empty where it is open or not a whole day. */
export function days(state) {
  const [from, to = from] = state.datetime.split('/');
  return { from: DAY.test(from) ? from : '', to: DAY.test(to) ? to : '' };
}
