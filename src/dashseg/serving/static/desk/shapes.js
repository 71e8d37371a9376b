// Shapes as runs of pixels. A run is [start, end): positions in the row-major label, of one row.
// Points are [x, y] in pixels of the frame: pixel (0, 0) covers 0..1, its centre is (0.5, 0.5).

/** Where a brush of this size stands: on a pixel's centre (odd) or corner (even), so that a brush
 * of size n is n pixels wide. */
export function snapToGrid([x, y], size) {
  return size % 2 ? [Math.floor(x) + 0.5, Math.floor(y) + 0.5] : [Math.round(x), Math.round(y)];
}

/** Calls each(start, end) for the pixels whose centre lies within size / 2 of the segment a–b.
 * With a and b on the grid (snapToGrid) the arithmetic is exact. */
export function strokeRuns(a, b, size, width, height, each) {
  const reach = size / 2;
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const squared = dx * dx + dy * dy;
  const covers = (x, y) => {
    const [px, py] = [x + 0.5 - a[0], y + 0.5 - a[1]];
    const along = px * dx + py * dy;
    if (along <= 0) return px * px + py * py <= reach * reach;
    if (along >= squared) return (px - dx) ** 2 + (py - dy) ** 2 <= reach * reach;
    return (px * dy - py * dx) ** 2 <= reach * reach * squared;
  };
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  const top = clamp(Math.floor(Math.min(a[1], b[1]) - reach), height);
  const bottom = clamp(Math.ceil(Math.max(a[1], b[1]) + reach), height);
  const left = clamp(Math.floor(Math.min(a[0], b[0]) - reach), width);
  const right = clamp(Math.ceil(Math.max(a[0], b[0]) + reach), width);
  for (let y = top; y < bottom; y++) {
    let start = left;
    while (start < right && !covers(start, y)) start++;
    let end = start;
    while (end < right && covers(end, y)) end++; // the shape is convex: one run in a row
    if (end > start) each(y * width + start, y * width + end);
  }
}

/** Calls each(start, end) for the pixels whose centre lies inside the polygon (even-odd). An edge
 * belongs to one side only, so polygons that share an edge neither overlap nor leave a gap. */
export function polygonRuns(points, width, height, each) {
  const ys = points.map((point) => point[1]);
  const top = Math.max(0, Math.floor(Math.min(...ys)));
  const bottom = Math.min(height, Math.ceil(Math.max(...ys)));
  for (let y = top; y < bottom; y++) {
    const centre = y + 0.5;
    const crossings = [];
    points.forEach(([ax, ay], i) => {
      const [bx, by] = points[(i + 1) % points.length];
      if (ay <= centre !== by <= centre) {
        crossings.push(ax + ((centre - ay) * (bx - ax)) / (by - ay));
      }
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const start = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const end = Math.min(width, Math.ceil(crossings[i + 1] - 0.5));
      if (end > start) each(y * width + start, y * width + end);
    }
  }
}

/** The runs [start, end, start, end, …] of the pixels that are connected to `seed` by their sides
 * and for all of which inside(position) is true. */
export function connectedRuns(inside, seed, width, height) {
  const seen = new Uint8Array(width * height);
  const runs = [];
  const open = [seed];
  while (open.length) {
    const at = open.pop();
    if (seen[at] || !inside(at)) continue;
    const row = Math.floor(at / width) * width;
    let start = at;
    let end = at + 1;
    while (start > row && !seen[start - 1] && inside(start - 1)) start--;
    while (end < row + width && !seen[end] && inside(end)) end++;
    seen.fill(1, start, end);
    runs.push(start, end);
    for (const other of [row - width, row + width]) {
      if (other < 0 || other >= width * height) continue;
      let before = false;
      for (let i = start - row + other; i < end - row + other; i++) {
        const now = !seen[i] && inside(i);
        if (now && !before) open.push(i);
        before = now;
      }
    }
  }
  return runs;
}

/** All connected regions of inside(position): a list of runs as connectedRuns gives. */
export function allRegions(inside, width, height) {
  const done = new Uint8Array(width * height);
  const regions = [];
  for (let i = 0; i < done.length; i++) {
    if (done[i] || !inside(i)) continue;
    const runs = connectedRuns(inside, i, width, height);
    for (let r = 0; r < runs.length; r += 2) done.fill(1, runs[r], runs[r + 1]);
    regions.push(runs);
  }
  return regions;
}

/** The border of inside(x, y) in the box [left, top, right, bottom): segments [x0, y0, x1, y1]
 * along the sides of pixels. */
export function borderSegments(inside, [left, top, right, bottom]) {
  const at = (x, y) => x >= left && x < right && y >= top && y < bottom && inside(x, y);
  const segments = [];
  for (let y = top; y <= bottom; y++) {
    for (let x = left, start = -1; x <= right; x++) {
      const edge = x < right && at(x, y) !== at(x, y - 1);
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        segments.push([start, y, x, y]);
        start = -1;
      }
    }
  }
  for (let x = left; x <= right; x++) {
    for (let y = top, start = -1; y <= bottom; y++) {
      const edge = y < bottom && at(x, y) !== at(x - 1, y);
      if (edge && start < 0) start = y;
      if (!edge && start >= 0) {
        segments.push([x, start, x, y]);
        start = -1;
      }
    }
  }
  return segments;
}
