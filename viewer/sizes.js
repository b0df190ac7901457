// The sizes of aggregates as one layer of the map. A style that QGIS reads too has a layer for each, and each tile's features would go
// through the filter of every one: of all that a browser does when dates change, a large part.

const FROM = 'tileserver:from';

/** The style with all sizes of a layer's aggregates in one layer, where they differ in their radius alone. */
export function withSizesTogether(style) {
  const groups = grouped(style.layers);
  const together = new Map([...groups.values()].map((group) => [group[0], group.length > 1 ? merged(group) : group[0]]));
  return { ...style, layers: style.layers.flatMap((layer) => together.get(layer) ?? []) };
}

/** Equal for layers that differ in size alone. */
function keyOf(layer) {
  if (!layer.metadata?.[FROM]) return layer.id;
  const { 'circle-radius': _, ...paint } = layer.paint;
  return JSON.stringify([layer.source, conditions(layer), paint]);
}

function grouped(layers) {
  const groups = new Map();
  for (const layer of layers) groups.set(keyOf(layer), [...(groups.get(keyOf(layer)) ?? []), layer]);
  return groups;
}

/** What a layer's filter asks for beside the count. */
function conditions({ filter: [all, ...parts] }) {
  return [all, ...parts.filter(([, field]) => field !== 'point_count')];
}

function merged(group) {
  const sizes = [...group].sort((one, other) => one.metadata[FROM] - other.metadata[FROM]);
  const [form, curve, input, ...stops] = sizes[0].paint['circle-radius'];
  const radius = stops.map((zoom, index) => (index % 2 ? step(sizes, index + 3) : zoom));
  return {
    ...sizes[0],
    filter: conditions(sizes[0]),
    layout: { 'circle-sort-key': ['-', ['get', 'point_count']] }, // the largest at the bottom
    paint: { ...sizes[0].paint, 'circle-radius': [form, curve, input, ...radius] },
  };
}

/** The radius by the count, at one stop of the zooms. */
function step(sizes, place) {
  const radii = sizes.map(({ metadata, paint }) => [metadata[FROM], paint['circle-radius'][place]]);
  return ['step', ['get', 'point_count'], ...radii.flat().slice(1)];
}
