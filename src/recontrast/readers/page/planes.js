// From a volume to the picture of a slice. Axes run right, anterior, superior; the first axis is fastest.

export const PLANES = {
  axial: { normal: 2, across: 0, up: 1 },
  coronal: { normal: 1, across: 0, up: 2 },
  sagittal: { normal: 0, across: 1, up: 2 },
};

const LETTERS = [["R", "L"], ["A", "P"], ["S", "I"]];

// Whether column 0 is the end of the axis: radiological pictures have the patient's right on their left,
// sagittal ones have anterior on their left in both conventions.
export function isMirrored(plane, convention) {
  return plane === PLANES.sagittal || convention === "radiological";
}

export function sides(plane, convention) {
  const [high, low] = LETTERS[plane.across];
  const [left, right] = isMirrored(plane, convention) ? [high, low] : [low, high];
  return { left, right, top: LETTERS[plane.up][0], bottom: LETTERS[plane.up][1] };
}

// Levels to colours for a window; level = middle, width = from black to white.
export function lookup(levels, level, width) {
  const table = new Uint32Array(levels);
  const low = level - width / 2;
  for (let value = 0; value < levels; value++) {
    const grey = Math.max(0, Math.min(255, Math.round((255 * (value - low)) / width)));
    table[value] = (255 << 24) | (grey << 16) | (grey << 8) | grey;
  }
  return table;
}

// Paints a slice into `pixels` (Uint32Array, rows from the top); `second` is mixed in by `share` (0 to 1).
export function paint(pixels, first, second, share, shape, plane, index, mirrored, table) {
  const strides = [1, shape[0], shape[0] * shape[1]];
  const wide = shape[plane.across], high = shape[plane.up];
  const step = mirrored ? -strides[plane.across] : strides[plane.across];
  const blend = second && share > 0 && share < 1;
  const only = second && share >= 1 ? second : first;
  let to = 0;
  for (let row = high - 1; row >= 0; row--) {
    let from = index * strides[plane.normal] + row * strides[plane.up] + (mirrored ? (wide - 1) * strides[plane.across] : 0);
    for (let column = 0; column < wide; column++, from += step) {
      pixels[to++] = table[blend ? Math.round(first[from] * (1 - share) + second[from] * share) : only[from]];
    }
  }
}
