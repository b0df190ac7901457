// Everything the viewer says, in English and Spanish; numbers and dates through Intl.

const WORDS = {
  en: {
    page: 'City map',
    otherLanguage: 'Español',
    skip: 'Skip to the map',
    map: 'Map. The arrow keys move it, plus and minus zoom, Enter tells what is in the middle.',
    sheet: 'Layers and filters',
    when: 'When',
    periods: { '': 'All dates', '30d': 'Last 30 days', '1y': 'Last 12 months', ytd: 'This year' },
    last: (amount) => `Last ${amount}`,
    ended: (title, date) => `${title}: the data end on ${date}, and so do these periods.`,
    from: 'From',
    to: 'To',
    kinds: { events: 'Events', places: 'Places', areas: 'Areas', shapes: 'Lots and lines' },
    first: 'Tick what to show. At first it is the events with the most rows.',
    waiting: 'Not ready',
    pictures: 'Behind them',
    density: (title) => `${title}: heat map`,
    densityMeans: 'The darker, the more of them there are around; the colors are set anew for each zoom and filter.',
    colorsFrom: (low, high, unit) => `The colors go from ${low} to ${high}${unit && `\u00a0${unit}`}.`,
    keepAll: 'Show all',
    hint: 'Tick to show only these.',
    others: 'Other',
    none: 'No value',
    more: (count) => `${count} more`,
    larger: 'A dot may stand for several: the larger it is, the more of them.',
    frequent: 'It then has the color of the most frequent.',
    orMore: (count) => `${count} or more`,
    squares: 'From afar, a square stands for all in it.',
    download: 'Download',
    formats: {
      csv: 'For spreadsheets',
      geojson: 'For web pages and small scripts',
      geojsonl: 'For pipelines: a feature a line',
      gpkg: 'For QGIS and ArcGIS Pro',
      parquet: 'For DuckDB, Python and R',
      fgb: 'For maps on the web, which read a part of the file',
    },
    onlyCounts: 'Only counts of these are published: they are not on the map and cannot be downloaded.',
    placeless: 'None of them has a position, so none is on the map; they are counted and can be downloaded.',
    fewer: (count) => `fewer than ${count}`,
    withoutPosition: (count, n) => (n === 1 ? '1 of them has no position and is not on the map.' : `${count} of them have no position and are not on the map.`),
    completeThrough: (date) => `Complete through ${date}.`,
    source: (attribution, license) => `Source: ${[attribution, license].filter(Boolean).join(', ')}.`,
    read: (read, rejected, date) => `Last brought in on ${date}: ${read} rows read, ${rejected} of them could not be used.`,
    nothing: 'No layer is chosen.',
    onlyPictures: (titles) => `On the map: ${titles}.`,
    found: (count, title, n) => (n === 1 ? `1 of ${lower(title)}` : `${count}\u00a0${lower(title)}`),
    noneFound: (title) => `No ${lower(title)} match the filters`,
    noneYet: (title) => `No ${lower(title)} yet`,
    noRows: (id) => `No rows yet: tileserver ingest ${id} brings them in.`,
    sentence: (found, range) => `${found}${range}.`,
    range: (from, to) => `, from ${from} to ${to}`,
    here: {
      events: (count) => `${count} reports here`,
      places: (count) => `${count} places here`,
      areas: (count) => `${count} areas here`,
      shapes: (count) => `${count} of them here`,
    },
    mostFrequent: (value) => `${value}, the most frequent`,
    together: {
      point: 'One dot stands for all of them.',
      square: 'One square stands for all of them.',
      close: 'They lie too close together to be drawn one by one.',
    },
    downloadThese: 'Download these (CSV)',
    inTotal: (value) => `${value} in total`,
    zoomTo: 'Zoom to it',
    zoomIn: 'Zoom in',
    next: 'Next',
    previous: 'Previous',
    position: (index, total) => `${index} of ${total}`,
    emptyMiddle: 'Nothing of what is shown lies in the middle of the map.',
    loading: 'Loading …',
    trouble: 'The server did not answer; trying again.',
    refused: (detail) => `The server could not answer this: ${detail}`,
    empty: 'The server has no layers yet: tileserver new LAYER FILE writes the file of one. It is there from the next start on.',
    noBasemap: 'The base map did not load; the layers of the city are all there.',
    noGraphics: 'This browser cannot draw the map: it has no WebGL 2. Counts and downloads work.',
    locale: {},
  },
  es: {
    page: 'Mapa de la ciudad',
    otherLanguage: 'English',
    skip: 'Ir al mapa',
    map: 'Mapa. Las flechas lo mueven, más y menos acercan y alejan, Intro dice qué hay en el centro.',
    sheet: 'Capas y filtros',
    when: 'Cuándo',
    periods: { '': 'Todas las fechas', '30d': 'Últimos 30 días', '1y': 'Últimos 12 meses', ytd: 'Este año' },
    last: (amount) => `${/hora|semana/.test(amount) ? 'Últimas' : 'Últimos'} ${amount}`,
    ended: (title, date) => `${title}: los datos terminan el ${date}, y con ellos estos periodos.`,
    from: 'Desde',
    to: 'Hasta',
    kinds: { events: 'Sucesos', places: 'Lugares', areas: 'Zonas', shapes: 'Parcelas y líneas' },
    first: 'Marque lo que quiere ver. Al principio son los sucesos con más filas.',
    waiting: 'No disponibles',
    pictures: 'Al fondo',
    density: (title) => `${title}: mapa de calor`,
    densityMeans: 'Cuanto más oscuro, más hay alrededor; los colores se ajustan a cada escala y filtro.',
    colorsFrom: (low, high, unit) => `Los colores van de ${low} a ${high}${unit && `\u00a0${unit}`}.`,
    keepAll: 'Mostrar todo',
    hint: 'Marque para mostrar solo estos.',
    others: 'Otros',
    none: 'Sin dato',
    more: (count) => `${count} más`,
    larger: 'Un punto puede representar a varios: cuanto mayor, más son.',
    frequent: 'Entonces tiene el color de lo más frecuente.',
    orMore: (count) => `${count} o más`,
    squares: 'De lejos, un cuadro representa todo lo que contiene.',
    download: 'Descargar',
    formats: {
      csv: 'Para hojas de cálculo',
      geojson: 'Para páginas web y programas pequeños',
      geojsonl: 'Para procesos por lotes: un elemento por línea',
      gpkg: 'Para QGIS y ArcGIS Pro',
      parquet: 'Para DuckDB, Python y R',
      fgb: 'Para mapas en la web, que leen una parte del archivo',
    },
    onlyCounts: 'De estos solo se publican recuentos: no están en el mapa ni se pueden descargar.',
    placeless: 'Ninguno tiene posición, así que ninguno está en el mapa; se cuentan y se pueden descargar.',
    fewer: (count) => `menos de ${count}`,
    withoutPosition: (count, n) => (n === 1 ? '1 de ellos no tiene posición y no está en el mapa.' : `${count} de ellos no tienen posición y no están en el mapa.`),
    completeThrough: (date) => `Completo hasta el ${date}.`,
    source: (attribution, license) => `Fuente: ${[attribution, license].filter(Boolean).join(', ')}.`,
    read: (read, rejected, date) => `Última carga el ${date}: ${read} filas leídas, ${rejected} de ellas no se pudieron usar.`,
    nothing: 'No se eligió ninguna capa.',
    onlyPictures: (titles) => `En el mapa: ${titles}.`,
    found: (count, title, n) => (n === 1 ? `1 de ${lower(title)}` : `${count}\u00a0${lower(title)}`),
    noneFound: (title) => `Con estos filtros no hay ${lower(title)}`,
    noneYet: (title) => `Aún no hay ${lower(title)}`,
    noRows: (id) => `Aún no hay filas: las trae tileserver ingest ${id}.`,
    sentence: (found, range) => `${found}${range}.`,
    range: (from, to) => `, del ${from} al ${to}`,
    here: {
      events: (count) => `${count} reportes aquí`,
      places: (count) => `${count} lugares aquí`,
      areas: (count) => `${count} zonas aquí`,
      shapes: (count) => `${count} de ellos aquí`,
    },
    mostFrequent: (value) => `${value}, lo más frecuente`,
    together: {
      point: 'Un solo punto representa a todos.',
      square: 'Un solo cuadro representa a todos.',
      close: 'Están demasiado juntos para dibujarlos uno por uno.',
    },
    downloadThese: 'Descargar estos (CSV)',
    inTotal: (value) => `${value} en total`,
    zoomTo: 'Ir a la capa',
    zoomIn: 'Acercar',
    next: 'Siguiente',
    previous: 'Anterior',
    position: (index, total) => `${index} de ${total}`,
    emptyMiddle: 'Nada de lo que se muestra está en el centro del mapa.',
    loading: 'Cargando …',
    trouble: 'El servidor no respondió; se intenta de nuevo.',
    refused: (detail) => `El servidor no pudo responder a esto: ${detail}`,
    empty: 'El servidor aún no tiene capas: tileserver new CAPA ARCHIVO escribe el archivo de una. Se verá desde el siguiente arranque.',
    noBasemap: 'El mapa base no se pudo cargar; las capas de la ciudad están completas.',
    noGraphics: 'Este navegador no puede dibujar el mapa: no tiene WebGL 2. Los recuentos y las descargas funcionan.',
    locale: {
      'AttributionControl.ToggleAttribution': 'Mostrar u ocultar las fuentes',
      'Map.Title': 'Mapa',
      'NavigationControl.ZoomIn': 'Acercar',
      'NavigationControl.ZoomOut': 'Alejar',
      'Popup.Close': 'Cerrar',
      'ScaleControl.Feet': 'ft',
      'ScaleControl.Meters': 'm',
      'ScaleControl.Kilometers': 'km',
      'ScaleControl.Miles': 'mi',
    },
  },
};

/** "Police incidents" inside a sentence is "police incidents", "EMS calls" stays as it is. */
function lower(title) {
  return /^\p{Lu}\p{Ll}/u.test(title) ? title[0].toLowerCase() + title.slice(1) : title;
}

/** The words of one language, and how it writes numbers, dates and names. */
export function speak(asked, preferred = ['en']) {
  const language = [asked, ...preferred].map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in WORDS) ?? 'en';
  const tag = preferred.find((each) => each.toLowerCase().startsWith(language)) ?? language;
  const numbers = new Intl.NumberFormat(tag);
  return {
    ...WORDS[language],
    language,
    tag,
    otherLanguageTag: language === 'en' ? 'es' : 'en',
    number: (value) => numbers.format(value),
    period: (last) => periodText(language, tag, last),
    amount: (value, unit) => amount(tag, value, unit),
    list: (texts) => new Intl.ListFormat(tag, { type: 'conjunction' }).format(texts),
    day: (moment, timeZone) => unbroken(new Intl.DateTimeFormat(tag, { dateStyle: 'long', timeZone }).format(moment)),
    moment: (text, timeZone) => momentText(tag, text, timeZone),
    translated: (layer) => translated(layer, layer.translations?.[language]),
  };
}

const UNITS = { h: 'hour', d: 'day', w: 'week', m: 'month', y: 'year' };

/** "Last 6 months" for `6m`. */
function periodText(language, tag, last) {
  const { periods, last: said } = WORDS[language];
  const amount = () => new Intl.NumberFormat(tag, { style: 'unit', unit: UNITS[last.at(-1)], unitDisplay: 'long' }).format(Number(last.slice(0, -1)));
  return periods[last] ?? said(amount());
}

/** A layer with what its file says of it in a language, and everything else as it is. */
function translated(layer, told) {
  if (!told) return layer;
  const { title, description, fields = {} } = told;
  return {
    ...layer,
    title: title ?? layer.title,
    description: description ?? layer.description,
    fields: layer.fields.map((field) => translatedField(field, fields[field.name])),
  };
}

function translatedField(field, { title, description, unit, labels = {}, descriptions = {} } = {}) {
  const values = field.values?.map((each) => ({
    ...each,
    label: labels[each.value] ?? each.label,
    description: descriptions[each.value] ?? each.description,
  }));
  return { ...field, title: title ?? field.title, description: description ?? field.description, unit: unit ?? field.unit, ...(values && { values }) };
}

/** A date that no line break takes apart. */
function unbroken(text) {
  return text.replaceAll(' ', '\u00a0');
}

function amount(tag, value, unit) {
  if (/^[A-Z]{3}$/.test(unit ?? '')) {
    return new Intl.NumberFormat(tag, { style: 'currency', currency: unit, maximumFractionDigits: 0 }).format(value);
  }
  return `${new Intl.NumberFormat(tag).format(value)}${unit ? ` ${unit}` : ''}`;
}

/** A time on the layer's own clock; midnight stands for a day without an hour. */
function momentText(tag, text, timeZone) {
  const moment = new Date(text);
  if (Number.isNaN(moment.valueOf())) return text;
  const hour = /T00:00(:00)?([-+Z]|$)/.test(text) ? {} : { timeStyle: 'short' };
  return new Intl.DateTimeFormat(tag, { dateStyle: 'long', ...hour, timeZone }).format(moment);
}

/** "occurred_at" → "Occurred at": what a field is called when its layer file gives it no title. */
export function fieldTitle(field) {
  const text = (field.title || field.name).replace(/_/g, ' ');
  return text[0].toUpperCase() + text.slice(1);
}

/** "Population (people)". */
export function fieldTitleWithUnit(field) {
  return field.unit ? `${fieldTitle(field)} (${field.unit})` : fieldTitle(field);
}

/** What a value of a category means, where its layer file says it. */
export function valueDescription(field, value) {
  return field.values?.find((each) => each.value === value)?.description ?? '';
}

export function valueLabel(field, value, words) {
  if (value === '' || value === null || value === undefined) return words.none;
  return field.values?.find((each) => each.value === value)?.label || String(value);
}
