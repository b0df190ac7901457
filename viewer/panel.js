// The panel beside the map: dates, indicators, their legends and filters, downloads, and the sentence that sums it up.

import { element } from './element.js';
import { withQuery } from './api.js';
import { colorOf, inOrder, swatch } from './legend.js';
import { categoryFields, days, filterQuery, format, hasTime, indicators, withDays, withLast, withLayer, withValue, withValues } from './state.js';
import { fieldTitle, valueLabel } from './words.js';

const KINDS = ['events', 'places', 'areas', 'shapes'];
const LISTED = 8;

/**
 * Builds the panel once; `update` and `count` then bring it to a state.
 *
 * @param {object} parts the page's elements: dates, indicators, language
 * @param {object} context layers, legends, words, change(update): update takes the state and returns the next one
 */
export class Panel {
  constructor(parts, context) {
    this.parts = parts;
    this.context = context;
    this.listed = indicators(context.layers);
    this.updates = [];
    parts.dates.replaceChildren(...(this.listed.some(hasTime) ? this.dates() : []));
    parts.indicators.replaceChildren(...KINDS.flatMap((kind) => this.kind(kind)));
  }

  update(state) {
    for (const update of this.updates) update(state);
    const { words } = this.context;
    this.parts.language.href = format({ ...state, lang: words.otherLanguageTag });
  }

  dates() {
    const { words, change } = this.context;
    const periods = Object.entries(words.periods).map(([last, label]) => {
      const input = element('input', { type: 'radio', name: 'period', value: last });
      input.addEventListener('change', () => change((state) => withLast(state, last)));
      this.updates.push((state) => (input.checked = state.last === last && !state.datetime));
      return element('label', { class: 'choice' }, input, element('span', {}, label));
    });
    return [element('legend', {}, words.when), element('div', { class: 'choices' }, ...periods), this.days()];
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

  kind(kind) {
    const layers = this.listed.filter((layer) => layer.kind === kind);
    if (!layers.length) return [];
    const items = layers.map((layer) => this.indicator(layer));
    return [element('h2', {}, this.context.words.kinds[kind]), element('ul', { class: 'indicators' }, ...items)];
  }

  indicator(layer) {
    const { words, legends, change } = this.context;
    const legend = legends[layer.id];
    const input = element('input', { type: 'checkbox', value: layer.id });
    input.addEventListener('change', () => change((state) => withLayer(state, layer.id, input.checked)));
    const count = element('span', { class: 'count' });
    const mark = legend && !legend.field ? [swatch(legend.shape, legend.entries[0].color)] : [];
    const head = element('label', { class: 'indicator' }, input, ...mark, element('span', { class: 'title' }, words.title(layer)), count);
    const body = element('div', { class: 'body' }, ...this.about(layer));
    this.updates.push((state) => {
      input.checked = state.layers.includes(layer.id);
      body.hidden = !input.checked;
    });
    return element('li', { 'data-layer': layer.id }, head, body);
  }

  about(layer) {
    const { words } = this.context;
    const description = words.description(layer);
    const fields = categoryFields(layer).filter((field) => field.values?.length);
    return [
      ...(description ? [element('p', {}, description)] : []),
      ...fields.map((field, index) => this.field(layer, field, index === 0)),
      element('p', { class: 'note', 'data-without-position': layer.id, hidden: true }),
      element('p', { class: 'note' }, this.provenance(layer)),
      this.downloads(layer),
    ];
  }

  provenance(layer) {
    const { words } = this.context;
    const source = layer.attribution ? [words.source(layer.attribution, layer.license)] : [];
    const complete = hasTime(layer) && layer.complete_through ? [words.completeThrough(words.day(new Date(layer.complete_through), layer.timezone))] : [];
    return [...source, ...complete].join(' ');
  }

  /** The values of a category: what their colors mean, and which of them to keep. */
  field(layer, field, isOpen) {
    const { words, legends, change } = this.context;
    const values = inOrder(legends[layer.id], field);
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
    const { words, legends, change } = this.context;
    const input = element('input', { type: 'checkbox', name: `${layer.id}.${field.name}`, value });
    input.addEventListener('change', () => change((state) => withValue(state, layer.id, field.name, value, input.checked)));
    this.updates.push((state) => (input.checked = state.categories[layer.id]?.[field.name]?.includes(value) ?? false));
    const color = colorOf(legends[layer.id], field.name, value);
    const mark = color ? [swatch(legends[layer.id].shape, color)] : [];
    return element('label', { class: 'value' }, input, ...mark, element('span', {}, valueLabel(field, value, words)));
  }

  downloads(layer) {
    const { words } = this.context;
    const links = Object.entries(layer.links.downloads).map(([format, url]) => {
      const name = format === 'geojson' ? 'GeoJSON' : format.toUpperCase();
      const link = element('a', { download: true, 'aria-label': `${words.download} ${name}: ${words.title(layer)}` }, name);
      this.updates.push((state) => (link.href = withQuery(url, filterQuery(state, layer))));
      return link;
    });
    return element('p', { class: 'downloads' }, element('span', {}, words.download), ...links);
  }

  /** @param {{count: number, without_position: number} | null} answer null while it is not known */
  count(layer, answer) {
    const { words } = this.context;
    const item = this.parts.indicators.querySelector(`[data-layer="${layer.id}"]`);
    item.querySelector('.count').textContent = answer ? words.number(answer.count) : '…';
    const note = item.querySelector('[data-without-position]');
    const without = answer?.without_position ?? 0;
    note.hidden = !without;
    note.textContent = without ? words.withoutPosition(words.number(without), without) : '';
  }
}

/** "12,345 police incidents, from March 1, 2024 to March 1, 2025. 9 wards." for what is shown; nothing while a count is missing. */
export function summary(state, layers, answers, words) {
  const shown = layers.filter((layer) => state.layers.includes(layer.id));
  if (!shown.length) return words.nothing;
  if (!shown.every((layer) => answers.has(layer.id))) return '';
  const [timed, timeless] = [shown.filter((layer) => layer.time_range), shown.filter((layer) => !layer.time_range)];
  return [timed, timeless].flatMap((group) => (group.length ? [sentence(group, answers, words)] : [])).join(' ');
}

function sentence(layers, answers, words) {
  const found = layers.map((layer) => {
    const { count } = answers.get(layer.id);
    return words.found(words.number(count), words.title(layer), count);
  });
  const moments = layers.flatMap((layer) => span(layer, answers.get(layer.id)));
  const [first, last] = [Math.min(...moments), Math.max(...moments)].map((moment) => moments.length && words.day(moment, layers[0].timezone));
  return words.sentence(words.list(found), moments.length ? words.range(first, last) : '');
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
