// Draws a font's glyphs as MapLibre reads them: signed distance fields, 256 characters a file.
import { readFile } from 'node:fs/promises';

import opentype from 'opentype.js';
import { PbfWriter } from 'pbf';

/** Pixels an em. */
const SIZE = 24;
/** Pixels around each glyph, so that its halo has room. */
const BUFFER = 3;
/** Pixels from the outline to where distances end, and which part of their scale lies inside. */
const RADIUS = 8;
const CUTOFF = 0.25;
/** Straight pieces a curve is drawn with. */
const PIECES = 4;

/** The first characters of the ranges that English and Spanish are written with: Latin, its extensions, punctuation. */
export const STARTS = [0, 256, 8192];

/**
 * The glyphs of one range of characters, as the protocol buffer that MapLibre asks for.
 *
 * @param {opentype.Font[]} fonts parts of one font; the first that has a character draws it
 */
export function glyphs(name, fonts, start) {
  const drawn = [];
  for (let code = start; code < start + 256; code += 1) {
    const font = fonts.find((each) => each.charToGlyphIndex(String.fromCharCode(code)));
    if (font) drawn.push(draw(font, code));
  }
  const stack = { name, range: `${start}-${start + 255}`, drawn };
  const writer = new PbfWriter();
  writer.writeMessage(1, writeStack, stack);
  return writer.finish();
}

export async function font(file) {
  const { buffer, byteOffset, byteLength } = await readFile(file);
  return opentype.parse(buffer.slice(byteOffset, byteOffset + byteLength));
}

/** llmr.glyphs.fontstack of glyphs.proto, as node-fontnik writes it. */
function writeStack({ name, range, drawn }, writer) {
  writer.writeStringField(1, name);
  writer.writeStringField(2, range);
  for (const glyph of drawn) writer.writeMessage(3, writeGlyph, glyph);
}

function writeGlyph({ code, bitmap, width, height, left, top, advance }, writer) {
  writer.writeVarintField(1, code);
  if (bitmap) writer.writeBytesField(2, bitmap);
  writer.writeVarintField(3, width);
  writer.writeVarintField(4, height);
  writer.writeSVarintField(5, left);
  writer.writeSVarintField(6, top);
  writer.writeVarintField(7, advance);
}

/** One glyph; `top` is told from the font's ascender down, and the bitmap is BUFFER pixels wider than the glyph on each side. */
function draw(font, code) {
  const scale = SIZE / font.unitsPerEm;
  const glyph = font.charToGlyph(String.fromCharCode(code));
  const advance = Math.round(glyph.advanceWidth * scale);
  const segments = outline(glyph.getPath(0, 0, SIZE).commands);
  if (!segments.length) return { code, bitmap: null, width: 0, height: 0, left: 0, top: 0, advance };
  const [xs, ys] = [segments.flatMap(([x0, , x1]) => [x0, x1]), segments.flatMap(([, y0, , y1]) => [y0, y1])];
  const [left, highest] = [Math.floor(Math.min(...xs)), Math.floor(Math.min(...ys))];
  const [width, height] = [Math.ceil(Math.max(...xs)) - left, Math.ceil(Math.max(...ys)) - highest];
  const bitmap = field(segments, left - BUFFER, highest - BUFFER, width + 2 * BUFFER, height + 2 * BUFFER);
  return { code, bitmap, width, height, left, top: -highest - Math.round(font.ascender * scale), advance };
}

/** The outline as straight pieces [x0, y0, x1, y1] in pixels, y downwards. */
function outline(commands) {
  const segments = [];
  let [x, y, first] = [0, 0, [0, 0]];
  const to = (nextX, nextY) => {
    if (nextX !== x || nextY !== y) segments.push([x, y, nextX, nextY]);
    [x, y] = [nextX, nextY];
  };
  for (const command of commands) {
    if (command.type === 'M') [x, y, first] = [command.x, command.y, [command.x, command.y]];
    else if (command.type === 'Z') to(...first);
    else if (command.type === 'L') to(command.x, command.y);
    else for (const point of curve(x, y, command)) to(...point);
  }
  return segments;
}

/** Points along a Bézier curve of the second ("Q") or third ("C") degree, its start left out. */
function curve(x, y, { type, x1, y1, x2, y2, x: endX, y: endY }) {
  return Array.from({ length: PIECES }, (_, index) => {
    const t = (index + 1) / PIECES;
    const s = 1 - t;
    const at =
      type === 'Q'
        ? (a, b, _c, d) => s * s * a + 2 * s * t * b + t * t * d
        : (a, b, c, d) => s ** 3 * a + 3 * s * s * t * b + 3 * s * t * t * c + t ** 3 * d;
    return [at(x, x1, x2, endX), at(y, y1, y2, endY)];
  });
}

/** Distances to the outline, a byte a pixel, row by row: 255 deep inside, 191 on the outline, 0 far outside. */
function field(segments, left, top, width, height) {
  const bytes = new Uint8Array(width * height);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const distance = signedDistance(segments, left + column + 0.5, top + row + 0.5);
      bytes[row * width + column] = Math.max(0, Math.min(255, Math.round(255 - 255 * (distance / RADIUS + CUTOFF))));
    }
  }
  return bytes;
}

/** From a point to the nearest piece, negative inside by the nonzero rule. */
function signedDistance(segments, x, y) {
  let [nearest, winding] = [Infinity, 0];
  for (const [x0, y0, x1, y1] of segments) {
    const [dx, dy] = [x1 - x0, y1 - y0];
    const t = Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)));
    nearest = Math.min(nearest, (x - x0 - t * dx) ** 2 + (y - y0 - t * dy) ** 2);
    if (y0 <= y !== y1 <= y && (x1 - x0) * (y - y0) > (x - x0) * (y1 - y0) === y1 > y0) winding += y1 > y0 ? 1 : -1;
  }
  return Math.sqrt(nearest) * (winding ? -1 : 1);
}
