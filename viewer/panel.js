// The panel beside the map: dates, indicators, their legends and filters, downloads, and the sentence that sums it up.

import { element } from './element.js';
import { withQuery } from './api.js';
import { isOutside } from './extent.js';
import { classList, entryOf, inOrder, ramp, sizeList, swatch } from './legend.js';
import { categoryFields, days, filterQuery, format, hasTime, indicators, isDrawn, isEmpty, isPlaceless } from './state.js';
import { withDays, withLast, withLayer, withValue, withValues } from './state.js';
import { fieldTitle, fieldTitleWithUnit, valueDescription, valueLabel } from './words.js';

const KINDS = ['events', 'places', 'areas', 'shapes'];
const LISTED = 8;
const FORMATS = { geojson: 'GeoJSON', geojsonl: 'GeoJSON lines', gpkg: 'GeoPackage', parquet: 'GeoParquet', fgb: 'FlatGeobuf' };
/** How long before now data end, in milliseconds, for it to be said beside the periods. */
const LONG_AGO = 30 * 86_400_000;

/**
 * Builds the panel once; `update` and `count` then bring it to a state.
 *
 * @param {object} parts the page's elements: dates, indicators, language
 * @param {object} context layers, waiting, legends, words; last: the period that the page begins with; change(update): update takes
 *   the state and returns the next one; zoomTo(extent)
 */
export class Panel {
  constructor(parts, context) {
    this.parts = parts;
    this.context = context;
    this.listed = indicators(context.layers);
    this.updates = [];
    parts.dates.replaceChildren(...(this.listed.some(hasTime) ? this.dates() : []));
    parts.indicators.replaceChildren(...this.first(), ...KINDS.flatMap((kind) => this.kind(kind)), ...this.pictures(), ...this.waiting());
  }

  /** @param {{bounds: number[], zoom: number}} [view] what the map shows: west, south, east, north; nothing while there is no map */
  update(state, view) {
    for (const update of this.updates) update(state, view);
    const { words } = this.context;
    this.parts.language.href = format({ ...state, lang: words.otherLanguageTag });
  }

  dates() {
    const { words, change, last: begun } = this.context;
    const periods = [...new Set([...Object.keys(words.periods), begun])].map((last) => {
      const input = element('input', { type: 'radio', name: 'period', value: last });
      input.addEventListener('change', () => change((state) => withLast(state, last)));
      this.updates.push((state) => (input.checked = state.last === last && !state.datetime));
      return element('label', { class: 'choice' }, input, element('span', {}, words.period(last)));
    });
    return [element('legend', {}, words.when), element('div', { class: 'choices' }, ...periods), this.ends(), this.days()];
  }

  /** Where periods end, for layers that end long ago: there "this year" is a year of the past. */
  ends() {
    const { words } = this.context;
    const note = element('p', { class: 'note', hidden: true });
    this.updates.push((state) => {
      const ended = endedLongAgo(state, this.listed, Date.now());
      note.hidden = !ended.length;
      note.textContent = ended.map((layer) => words.ended(layer.title, lastDay(layer, words))).join(' ');
    });
    return note;
  }

  days() {
    const { words, change } = this.context;
    const [from, to] = [words.from, words.to].map((label) => {
      const input = element('input', { type: 'date', min: '1900-01-01', max: '9999-12-31' });
      return { input, label: element('label', {}, element('span', {}, label), input) };
    });
    for (const { input } of [from, to]) {
      input.addEventListener('change', () => {
        if (!input.validity.valid) return; // a year that is still being typed: 0002, 0020, 0202
        change((state) => withDays(state, from.input.value, to.input.value));
      });
    }
    this.updates.push((state) => {
      const { from: first, to: last } = days(state);
      [from.input.value, to.input.value] = [first, last];
      [from.input.max, to.input.min] = [last || '9999-12-31', first || '1900-01-01']; // so that none ends before it begins
    });
    return element('div', { class: 'days' }, from.label, to.label);
  }

  /** Why one layer is shown before anybody has chosen. */
  first() {
    const areSeveral = this.listed.length > 1 && this.listed.some(({ kind }) => kind === 'events');
    return areSeveral ? [element('p', { class: 'note' }, this.context.words.first)] : [];
  }

  /** The layers that cannot be served yet, each with the server's reason. */
  waiting() {
    const { waiting, words } = this.context;
    const items = waiting.map(({ id, title, detail }) => element('li', { 'data-waiting': id }, element('p', {}, title), element('p', { class: 'note' }, detail)));
    return items.length ? [element('h2', {}, words.waiting), element('ul', { class: 'indicators' }, ...items)] : [];
  }

  kind(kind) {
    const layers = this.listed.filter((layer) => layer.kind === kind);
    if (!layers.length) return [];
    const items = layers.map((layer) => this.indicator(layer));
    return [element('h2', {}, this.context.words.kinds[kind]), element('ul', { class: 'indicators' }, ...items)];
  }

  /** Rasters and densities: nothing to filter or to count. */
  pictures() {
    const { layers, words, change } = this.context;
    const items = layers.filter(({ kind }) => kind === 'raster').map((layer) => {
      const input = element('input', { type: 'checkbox', value: layer.id });
      input.addEventListener('change', () => change((state) => withLayer(state, layer.id, input.checked)));
      const head = element('label', { class: 'indicator' }, input, element('span', { class: 'title' }, layer.title));
      const body = element('div', { class: 'body' }, ...this.zoomTo(layer, input), element('p', {}, layer.description), ...this.ramp(layer));
      this.updates.push((state) => {
        input.checked = state.layers.includes(layer.id);
        body.hidden = !input.checked;
      });
      return element('li', { 'data-layer': layer.id }, head, body);
    });
    return items.length ? [element('h2', {}, words.pictures), element('ul', { class: 'indicators' }, ...items)] : [];
  }

  /** What the colors of a raster mean; nothing where its numbers are colors already. */
  ramp(layer) {
    const { words } = this.context;
    if (!layer.colors || !layer.range) return [];
    return [ramp(layer), element('p', { class: 'note' }, words.colorsFrom(...layer.range.map(words.number), layer.unit))];
  }

  /** A button that is there while all of a layer lies out of sight. */
  zoomTo(layer, input) {
    const { words, zoomTo } = this.context;
    if (!layer.extent || !isDrawn(layer)) return [];
    const button = element('button', { type: 'button', class: 'quiet', hidden: true, 'aria-label': `${words.zoomTo}: ${layer.title}` }, words.zoomTo);
    button.addEventListener('click', () => {
      input.focus(); // the button goes away
      zoomTo(layer.initial_extent ?? layer.extent);
    });
    this.updates.push((state, view) => (button.hidden = !view || !isOutside(layer.extent, view.bounds)));
    return [button];
  }

  /** What stands for what on the map; nothing for a layer that cannot be on it. */
  legend(layer) {
    return isPlaceless(layer) ? undefined : this.context.legends[layer.id];
  }

  indicator(layer) {
    const { change } = this.context;
    const legend = this.legend(layer);
    const input = element('input', { type: 'checkbox', value: layer.id });
    input.addEventListener('change', () => change((state) => withLayer(state, layer.id, input.checked)));
    const count = element('span', { class: 'count' });
    const mark = legend && !legend.field ? [swatch(legend.shape, legend.entries[0])] : [];
    const head = element('label', { class: 'indicator' }, input, ...mark, element('span', { class: 'title' }, layer.title), count);
    const body = element('div', { class: 'body' }, ...this.zoomTo(layer, input), ...this.about(layer));
    this.updates.push((state) => {
      input.checked = state.layers.includes(layer.id);
      body.hidden = !input.checked;
    });
    return element('li', { 'data-layer': layer.id }, head, body);
  }

  about(layer) {
    const fields = categoryFields(layer).filter((field) => field.values?.length);
    const placeless = isPlaceless(layer) && isDrawn(layer);
    return [
      ...(isEmpty(layer) ? [element('p', {}, this.context.words.noRows(layer.id))] : []),
      ...(placeless ? [element('p', {}, this.context.words.placeless)] : []),
      ...(layer.description ? [element('p', {}, layer.description)] : []),
      ...this.classes(layer),
      ...fields.map((field, index) => this.field(layer, field, index === 0)),
      ...this.together(layer),
      element('p', { class: 'note', 'data-without-position': layer.id, hidden: true }),
      element('p', { class: 'note' }, this.provenance(layer)),
      this.downloads(layer),
    ];
  }

  /** Of the number that colors stand for, where they stand for one. */
  classes(layer) {
    const legend = this.legend(layer);
    const field = layer.fields.find(({ name }) => name === legend?.field);
    return field ? classList(legend, fieldTitleWithUnit(field)) : [];
  }

  /** What rows that are drawn together look like; hidden while there are so few that none are. */
  together(layer) {
    const { words } = this.context;
    const legend = this.legend(layer);
    const attributes = { 'data-together': layer.id, hidden: true };
    if (layer.kind === 'shapes' && legend) return [element('p', { class: 'note', ...attributes }, words.squares)];
    if (!legend?.sizes.length) return [];
    const isColored = layer.fields.some(({ name, role }) => name === legend.field && role === 'category');
    const note = [words.larger, ...(isColored ? [words.frequent] : [])].join(' ');
    const { list, scale } = sizeList(legend, words);
    this.updates.push((state, view) => view && scale(view.zoom));
    return [element('div', attributes, element('p', { class: 'note' }, note), list)];
  }

  provenance(layer) {
    const { words } = this.context;
    const source = layer.attribution ? [words.source(layer.attribution, layer.license)] : [];
    const complete = endsSomewhere(layer) ? [words.completeThrough(lastDay(layer, words))] : [];
    const read = layer.ledger?.at ? [words.read(...['read', 'rejected'].map((key) => words.number(layer.ledger[key])), words.day(new Date(layer.ledger.at), layer.timezone))] : [];
    return [...source, ...complete, ...read].join(' ');
  }

  /** The values of a category: what their colors mean, and which of them to keep. */
  field(layer, field, isOpen) {
    const { words, change } = this.context;
    const values = inOrder(this.legend(layer), field);
    const choices = values.map(({ value }) => this.value(layer, field, value));
    const rest = choices.splice(LISTED + 1 < choices.length ? LISTED : choices.length);
    const all = element('button', { type: 'button', class: 'quiet', hidden: true }, words.keepAll);
    all.addEventListener('click', () => change((state) => withValues(state, layer.id, field.name, [])));
    const hint = element('span', { class: 'note' }, words.hint);
    const list = element('fieldset', {}, element('legend', { class: 'unseen' }, fieldTitle(field)), ...choices);
    if (rest.length) {
      const more = element('details', {}, element('summary', {}, words.more(words.number(rest.length))), ...rest);
      list.append(more);
      this.updates.push((state) => {
        const kept = state.categories[layer.id]?.[field.name] ?? [];
        if (values.slice(LISTED).some(({ value }) => kept.includes(value))) more.open = true;
      });
    }
    const group = element('details', { class: 'field', open: isOpen }, element('summary', {}, fieldTitle(field)), list, hint, all);
    this.updates.push((state) => {
      const isFiltered = Boolean(state.categories[layer.id]?.[field.name]);
      all.hidden = !isFiltered;
      hint.hidden = isFiltered;
      list.classList.toggle('filtered', isFiltered);
      if (isFiltered) group.open = true;
    });
    return group;
  }

  value(layer, field, value) {
    const { words, change } = this.context;
    const meaning = valueDescription(field, value);
    const told = meaning && { 'aria-label': valueLabel(field, value, words), 'aria-description': meaning };
    const input = element('input', { type: 'checkbox', name: `${layer.id}.${field.name}`, value, ...told });
    input.addEventListener('change', () => change((state) => withValue(state, layer.id, field.name, value, input.checked)));
    this.updates.push((state) => (input.checked = state.categories[layer.id]?.[field.name]?.includes(value) ?? false));
    const legend = this.legend(layer);
    const entry = entryOf(legend, field.name, value);
    const mark = entry ? [swatch(legend.shape, entry)] : [];
    const note = meaning ? [element('span', { class: 'note meaning' }, meaning)] : [];
    return element('label', { class: 'value' }, input, ...mark, element('span', {}, valueLabel(field, value, words), ...note));
  }

  downloads(layer) {
    const { words } = this.context;
    if (!isDrawn(layer)) return element('p', { class: 'note' }, words.onlyCounts);
    const links = Object.entries(layer.links.downloads).map(([format, url]) => {
      const name = FORMATS[format] ?? format.toUpperCase();
      const link = element('a', { download: true, title: words.formats[format] ?? '', 'aria-label': `${words.download} ${name}: ${layer.title}` }, name);
      this.updates.push((state) => (link.href = withQuery(url, filterQuery(state, layer))));
      return link;
    });
    return element('p', { class: 'downloads' }, element('span', {}, words.download), ...links);
  }

  /** @param {{count: number | null, below?: number, without_position: number | null} | null} answer null while it is not known */
  count(layer, answer) {
    const { words } = this.context;
    const item = this.parts.indicators.querySelector(`[data-layer="${layer.id}"]`);
    item.querySelector('.count').textContent = answer ? counted(answer, words) : '…';
    const together = item.querySelector('[data-together]');
    if (together) together.hidden = !(answer?.count - answer?.without_position > this.legend(layer).budget);
    const note = item.querySelector('[data-without-position]');
    const without = isPlaceless(layer) ? 0 : (answer?.without_position ?? 0); // of those it is said already
    note.hidden = !without;
    note.textContent = without ? words.withoutPosition(words.number(without), without) : '';
  }
}

/**
 * "12,345 police incidents, from March 1, 2024 to March 1, 2025. 9 wards." for what is shown, and of what it is that nothing matches;
 * nothing while a count is missing.
 */
export function summary(state, layers, answers, words) {
  const chosen = layers.filter((layer) => state.layers.includes(layer.id));
  const shown = indicators(chosen);
  if (!chosen.length) return words.nothing;
  if (!shown.length) return words.onlyPictures(words.list(chosen.map(({ title }) => title)));
  if (!shown.every((layer) => answers.has(layer.id))) return '';
  const isEmptied = (layer) => answers.get(layer.id).count === 0 && filterQuery(state, layer) !== '';
  const filled = shown.filter((layer) => !isEmpty(layer));
  const [none, some] = [filled.filter(isEmptied), filled.filter((layer) => !isEmptied(layer))];
  const [timed, timeless] = [some.filter((layer) => layer.time_range), some.filter((layer) => !layer.time_range)];
  return [
    ...shown.filter(isEmpty).map((layer) => words.sentence(words.noneYet(layer.title), '')),
    ...none.map((layer) => words.sentence(words.noneFound(layer.title), rangeOf([layer], answers, words))),
    ...[timed, timeless].flatMap((group) => (group.length ? [sentence(group, answers, words)] : [])),
  ].join(' ');
}

/** The layers among those that are shown whose data end long before a moment, in milliseconds. */
export function endedLongAgo(state, layers, now) {
  return layers.filter((layer) => state.layers.includes(layer.id) && endsSomewhere(layer) && now - Date.parse(layer.complete_through) > LONG_AGO);
}

function endsSomewhere(layer) {
  return hasTime(layer) && !isEmpty(layer) && Boolean(layer.complete_through);
}

function lastDay(layer, words) {
  return words.day(new Date(layer.complete_through), layer.timezone);
}

/** "1,234", or "fewer than 5" where the count is withheld. */
function counted({ count, below }, words) {
  return count === null ? words.fewer(words.number(below)) : words.number(count);
}

function sentence(layers, answers, words) {
  const found = layers.map((layer) => {
    const answer = answers.get(layer.id);
    return words.found(counted(answer, words), layer.title, answer.count);
  });
  return words.sentence(words.list(found), rangeOf(layers, answers, words));
}

function rangeOf(layers, answers, words) {
  const moments = layers.flatMap((layer) => span(layer, answers.get(layer.id)));
  if (!moments.length) return '';
  return words.range(...[Math.min(...moments), Math.max(...moments)].map((moment) => words.day(moment, layers[0].timezone)));
}

/**
 * First and last instant of what was counted, in milliseconds: the filter's where it is closed, the data's where it is open;
 * nothing where the filter begins after the data end.
 */
function span(layer, { datetime }) {
  if (!layer.time_range) return [];
  const asked = (datetime ?? '../..').split('/');
  const both = layer.time_range.map((known, side) => Date.parse(asked[side] && asked[side] !== '..' ? asked[side] : known));
  return both[0] <= both[1] ? both : [];
}
