// The picture of memory. A block of the largest order (1024 frames) is a square of 32 x 32; frames lie in it along a Z curve,
// so that a block of any order is a square or half of one, and its buddy is the other half.
// Messages come from MapEncoder.cs.

const SIDE = 32;
const BLOCK = SIDE * SIDE;
const HEAD = 8;
const RUN = 12;
const NONE = 255;
const USES = ['hole', 'reserved', 'boot', 'free', 'pcp', 'kernel', 'slab', 'table', 'anon', 'file', 'shmem', 'movable'];
const FREE = 3, PCP = 4, BOOT = 2;
const LRUS = ['none', 'inactive-anon', 'active-anon', 'inactive-file', 'active-file', 'unevictable'];
const TYPES = ['unmovable', 'movable', 'reclaimable', 'highatomic', 'cma', 'isolate'];
const AGES = 8;

const zx = new Uint8Array(BLOCK), zy = new Uint8Array(BLOCK);
for (let i = 0; i < BLOCK; i++) {
  for (let bit = 0; bit < 5; bit++) {
    zx[i] |= ((i >> (2 * bit)) & 1) << bit;
    zy[i] |= ((i >> (2 * bit + 1)) & 1) << bit;
  }
}

const toFrame = new Uint16Array(BLOCK);
for (let i = 0; i < BLOCK; i++) { toFrame[zy[i] * SIDE + zx[i]] = i; }

class MemoryPicture {
  constructor(canvas, owner) {
    this.canvas = canvas;
    this.owner = owner;
    this.context = canvas.getContext('2d');
    this.zones = [];
    this.marks = [];
    this.mode = 'order';
    this.range = null;
    this.cursor = -1;
    this.flashes = [];
    this.frameTimes = [];
    this.dark = matchMedia('(prefers-color-scheme: dark)');
    this.onTheme = () => { this.readColours(); this.paintAll(); };
    this.dark.addEventListener('change', this.onTheme);
    this.watcher = new MutationObserver(this.onTheme);
    this.watcher.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    this.sizer = new ResizeObserver(() => this.layout());
    this.sizer.observe(canvas.parentElement);
    this.onMove = e => this.point(e);
    this.onLeave = () => this.tell(-1);
    this.onClick = e => this.click(e);
    this.onKey = e => this.key(e);
    canvas.addEventListener('pointermove', this.onMove);
    canvas.addEventListener('pointerleave', this.onLeave);
    canvas.addEventListener('click', this.onClick);
    canvas.addEventListener('keydown', this.onKey);
    this.readColours();
  }

  dispose() {
    this.dark.removeEventListener('change', this.onTheme);
    this.watcher.disconnect();
    this.sizer.disconnect();
    this.canvas.removeEventListener('pointermove', this.onMove);
    this.canvas.removeEventListener('pointerleave', this.onLeave);
    this.canvas.removeEventListener('click', this.onClick);
    this.canvas.removeEventListener('keydown', this.onKey);
    this.gone = true;
  }

  load(blocks, zones) {
    const frames = blocks * BLOCK;
    this.blocks = blocks;
    this.zones = zones;
    this.use = new Uint8Array(frames);
    this.order = new Uint8Array(frames).fill(NONE);
    this.head = new Uint8Array(frames);
    this.lru = new Uint8Array(frames);
    this.stamp = new Uint32Array(frames);
    this.type = new Uint8Array(blocks * 2).fill(NONE);
    this.counts = new Map();
    this.now = 1;
    this.marks = [];
    this.flashes = [];
    this.image = new ImageData(SIDE, SIDE);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.layout();
  }

  // Only blocks in which something changed.
  update(bytes, now, flash) {
    const started = performance.now();
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.now = now;
    const touched = [];
    let at = 0;
    while (at + HEAD <= bytes.byteLength) {
      const block = data.getInt32(at, true);
      const runs = data.getUint16(at + 4, true);
      this.type[block * 2] = data.getUint8(at + 6);
      this.type[block * 2 + 1] = data.getUint8(at + 7);
      at += HEAD;
      const first = block * BLOCK;
      const sum = { free: new Uint32Array(11), uses: new Uint32Array(USES.length) };
      for (let i = 0; i < runs; i++, at += RUN) {
        const start = first + data.getUint16(at, true);
        const end = start + data.getUint16(at + 2, true);
        const use = data.getUint8(at + 4), order = data.getUint8(at + 5), lru = data.getUint8(at + 6);
        const stamp = data.getUint32(at + 8, true);
        if (flash && (this.use[start] !== use || this.order[start] !== order || this.stamp[start] !== stamp) && order !== NONE && this.flashes.length < 400) {
          this.flashes.push({ pfn: start, pages: end - start, until: started + 1400, freed: use === FREE || use === PCP });
        }
        this.use.fill(use, start, end);
        this.order.fill(order, start, end);
        this.head.fill(0, start, end);
        this.head[start] = 1;
        this.lru.fill(lru, start, end);
        this.stamp.fill(stamp, start, end);
        sum.uses[use] += end - start;
        if (use === FREE) { sum.free[order]++; }
      }
      this.counts.set(block, sum);
      touched.push(block);
    }
    for (const block of touched) { this.paintBlock(block); }
    this.schedule();
    return performance.now() - started;
  }

  // What is drawn, counted: for the text beside the picture.
  count() {
    return this.zones.map(zone => {
      const free = new Array(11).fill(0);
      const uses = {};
      for (let block = Math.floor(zone.start / BLOCK); block * BLOCK < zone.end; block++) {
        const sum = this.counts.get(block);
        const whole = block * BLOCK >= zone.start && (block + 1) * BLOCK <= zone.end;
        if (!sum) { continue; }
        if (whole) {
          sum.free.forEach((n, order) => free[order] += n);
          sum.uses.forEach((n, use) => { if (n) { uses[USES[use]] = (uses[USES[use]] || 0) + n; } });
          continue;
        }
        for (let pfn = Math.max(zone.start, block * BLOCK); pfn < Math.min(zone.end, (block + 1) * BLOCK); pfn++) {
          const use = this.use[pfn];
          uses[USES[use]] = (uses[USES[use]] || 0) + 1;
          if (use === FREE && this.head[pfn]) { free[this.order[pfn]]++; }
        }
      }
      return { name: zone.name, free, uses };
    });
  }

  setMode(mode) { this.mode = mode; this.paintAll(); }

  setMarks(marks) { this.marks = marks; this.schedule(); }

  // Shows frames from start to end; null shows everything.
  show(start, end) {
    this.range = start === null || start < 0 ? null : [Math.floor(start / BLOCK), Math.ceil(end / BLOCK)];
    // Part of a block: a square of 64 or 256 frames.
    const pages = end - start;
    this.part = this.range && pages < BLOCK && start % pages === 0 && (pages === 64 || pages === 256) ? { start, pages } : null;
    this.layout();
  }

  zoom(inward) {
    const all = this.blocks;
    const [from, to] = this.range || [0, all];
    const span = to - from;
    const pages = this.part ? this.part.pages : BLOCK;
    if (inward && span === 1 && pages > 64) {
      const start = this.cursor >= from * BLOCK && this.cursor < to * BLOCK ? this.cursor : from * BLOCK;
      this.show(Math.floor(start / (pages / 4)) * (pages / 4), Math.floor(start / (pages / 4)) * (pages / 4) + pages / 4);
      return;
    }
    if (!inward && this.part) {
      const wide = this.part.pages * 4, start = Math.floor(this.part.start / wide) * wide;
      this.show(start, start + wide);
      return;
    }
    this.part = null;
    const centre = this.cursor >= 0 ? Math.floor(this.cursor / BLOCK) : Math.floor((from + to) / 2);
    const next = inward ? Math.max(1, Math.ceil(span / 4)) : span * 4;
    if (next >= all) { this.range = null; this.layout(); return; }
    let first = Math.floor(centre / next) * next;
    first = Math.max(0, Math.min(first, all - next));
    this.range = [first, first + next];
    this.layout();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    probe.canvas.width = probe.canvas.height = 1;
    const read = name => {
      probe.fillStyle = style.getPropertyValue(name).trim() || '#888';
      probe.fillRect(0, 0, 1, 1);
      const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
      return (255 << 24) | (b << 16) | (g << 8) | r;
    };
    this.colours = {
      order: Array.from({ length: 11 }, (_, i) => read(`--free-${i}`)),
      use: USES.map(u => read(`--use-${u}`)),
      lru: LRUS.map(l => read(`--lru-${l}`)),
      type: TYPES.map(t => read(`--type-${t}`)),
      typeFree: TYPES.map(t => read(`--type-${t}-free`)),
      age: Array.from({ length: AGES }, (_, i) => read(`--age-${i}`)),
      used: read('--map-used'),
      quiet: read('--map-quiet'),
      line: style.getPropertyValue('--map-line').trim(),
      text: style.getPropertyValue('--ink').trim(),
      accent: style.getPropertyValue('--accent').trim(),
      freed: style.getPropertyValue('--freed').trim(),
      ground: style.getPropertyValue('--panel').trim(),
    };
  }

  colourOf(pfn) {
    const use = this.use[pfn], c = this.colours;
    if (use <= BOOT) { return c.use[use]; }
    switch (this.mode) {
      case 'owner': return c.use[use];
      case 'type': {
        const type = this.type[Math.floor(pfn / (BLOCK / 2))];
        return type === NONE ? c.quiet : use === FREE || use === PCP ? c.typeFree[type] : c.type[type];
      }
      case 'lru': return use === FREE || use === PCP ? c.quiet : c.lru[this.lru[pfn]];
      case 'age': {
        if (use === FREE || use === PCP) { return c.quiet; }
        const age = this.stamp[pfn] === 0 ? AGES - 1 : Math.min(AGES - 1, Math.floor(Math.log2(Math.max(1, this.now - this.stamp[pfn])) / 2));
        return c.age[age];
      }
      default: return use === FREE ? c.order[this.order[pfn]] : use === PCP ? c.use[PCP] : c.used;
    }
  }

  paintBlock(block) {
    const place = this.places && this.places.get(block);
    if (!place) { return; }
    const first = block * BLOCK;
    // A run has one colour: looking it up once a run keeps large blocks cheap.
    for (let i = 0; i < BLOCK;) {
      const colour = this.colourOf(first + i);
      let end = i + 1;
      while (end < BLOCK && !this.head[first + end]) { end++; }
      if (this.mode === 'type' && i < BLOCK / 2) { end = Math.min(end, BLOCK / 2); }
      for (; i < end; i++) { this.pixels[zy[i] * SIDE + zx[i]] = colour; }
    }
    place.sheet.putImageData(this.image, place.sx, place.sy);
  }

  paintAll() {
    if (!this.places) { return; }
    for (const block of this.places.keys()) { this.paintBlock(block); }
    this.schedule();
  }

  layout() {
    if (!this.zones.length || this.gone) { return; }
    const box = this.canvas.parentElement;
    const width = Math.max(160, Math.floor(box.clientWidth));
    const height = Math.max(200, Math.min(Math.round(window.innerHeight * 0.62), Math.round(width * 0.9)));
    const [from, to] = this.range || [0, this.blocks];
    const parts = this.zones
      .map(z => ({ zone: z, from: Math.max(from, Math.floor(z.start / BLOCK)), to: Math.min(to, Math.ceil(z.end / BLOCK)) }))
      .filter(p => p.to > p.from);
    const label = 22;
    if (this.part && parts.length) { this.layoutPart(parts[parts.length - 1].zone, width, height, label); return; }
    let side = 512, columns, rows;
    for (; side >= 4; side = side > 64 ? side - 16 : side - 1) {
      columns = Math.max(1, Math.floor(width / side));
      rows = parts.reduce((sum, p) => sum + Math.ceil((p.to - p.from) / columns), 0);
      if (rows * side + parts.length * label <= height) { break; }
    }
    side = Math.max(side, 4);
    columns = Math.max(1, Math.floor(width / side));
    const old = this.sheet;
    this.sheet = document.createElement('canvas');
    this.sheet.width = columns * SIDE;
    rows = parts.reduce((sum, p) => sum + Math.ceil((p.to - p.from) / columns), 0);
    this.sheet.height = Math.max(1, rows) * SIDE;
    const sheet = this.sheet.getContext('2d');
    this.places = new Map();
    this.labels = [];
    let y = 0, row = 0;
    for (const part of parts) {
      this.labels.push({ text: part.zone.name, y });
      y += label;
      for (let block = part.from; block < part.to; block++) {
        const i = block - part.from, column = i % columns, down = Math.floor(i / columns);
        if (this.places.has(block)) { continue; }
        this.places.set(block, { sheet, sx: column * SIDE, sy: (row + down) * SIDE, x: column * side, y: y + down * side });
      }
      const high = Math.ceil((part.to - part.from) / columns);
      row += high;
      y += high * side;
    }
    if (old) { old.width = 0; }
    this.finish(side, width, y);
  }

  // A part of one block, as large as there is room.
  layoutPart(zone, width, height, label) {
    const across = Math.sqrt(this.part.pages);
    const fine = Math.floor(Math.min(width, height - label) / across);
    const block = Math.floor(this.part.start / BLOCK), i = this.part.start % BLOCK;
    this.sheet = document.createElement('canvas');
    this.sheet.width = this.sheet.height = SIDE;
    this.places = new Map([[block, { sheet: this.sheet.getContext('2d'), sx: 0, sy: 0, x: -zx[i] * fine, y: label - zy[i] * fine }]]);
    this.labels = [{ text: zone.name + ', pfn 0x' + this.part.start.toString(16) + ' to 0x' + (this.part.start + this.part.pages - 1).toString(16), y: 0 }];
    this.clip = { x: 0, y: label, w: across * fine, h: across * fine };
    this.finish(fine * SIDE, width, label + across * fine);
  }

  finish(side, width, y) {
    this.clip = this.part ? this.clip : null;
    this.side = side;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round((y + 2) * ratio);
    this.canvas.style.width = width + 'px';
    this.canvas.style.height = (y + 2) + 'px';
    this.ratio = ratio;
    this.paintAll();
  }

  schedule() {
    if (this.pending || this.gone) { return; }
    this.pending = true;
    requestAnimationFrame(t => { this.pending = false; this.draw(t); });
  }

  draw(t) {
    if (this.gone || !this.places) { return; }
    this.frameTimes.push(t);
    if (this.frameTimes.length > 120) { this.frameTimes.shift(); }
    const c = this.context, s = this.side, fine = s / SIDE;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.clearRect(0, 0, this.canvas.width, this.canvas.height);
    c.imageSmoothingEnabled = fine < 1;
    c.save();
    if (this.clip) {
      c.beginPath();
      c.rect(this.clip.x, this.clip.y, this.clip.w, this.clip.h);
      c.clip();
    }
    // Whole rows of the sheet at once: one call a zone instead of one a block.
    const first = this.places.values().next().value;
    if (!first) { c.restore(); return; }
    const gap = s >= 24 ? 1 : 0;
    if (gap) {
      for (const p of this.places.values()) { c.drawImage(this.sheet, p.sx, p.sy, SIDE, SIDE, p.x, p.y, s - gap, s - gap); }
    } else {
      let start = null, last = null;
      const flush = () => { if (start) { c.drawImage(this.sheet, start.sx, start.sy, last.sx + SIDE - start.sx, SIDE, start.x, start.y, last.x + s - start.x, s); } };
      for (const p of this.places.values()) {
        if (start && p.sy === start.sy) { last = p; continue; }
        flush();
        start = last = p;
      }
      flush();
    }
    if (fine >= 3) { this.drawBlocks(fine); }
    c.restore();
    c.font = '600 12px system-ui, sans-serif';
    c.textBaseline = 'middle';
    c.fillStyle = this.colours.text;
    for (const l of this.labels) { c.fillText('zone ' + l.text, 0, l.y + 11); }
    const now = performance.now();
    this.flashes = this.flashes.filter(f => f.until > now);
    for (const f of this.flashes) {
      c.globalAlpha = Math.min(1, (f.until - now) / 900);
      this.outline(f.pfn, f.pages, f.freed ? this.colours.freed : this.colours.accent, 2);
    }
    c.globalAlpha = 1;
    for (const m of this.marks) { this.outline(m.pfn, m.pages, this.colours.accent, 2.5, m.label); }
    if (this.cursor >= 0 && document.activeElement === this.canvas) { this.outline(this.cursor, 1, this.colours.text, 2); }
    if (this.flashes.length) { this.schedule(); }
  }

  drawBlocks(fine) {
    const c = this.context;
    c.strokeStyle = this.colours.line;
    c.lineWidth = 1;
    c.textBaseline = 'middle';
    c.textAlign = 'center';
    for (const [block, p] of this.places) {
      const first = block * BLOCK;
      for (let i = 0; i < BLOCK; i++) {
        if (!this.head[first + i]) { continue; }
        const order = this.order[first + i];
        if (order === NONE) { continue; }
        const w = (1 << Math.ceil(order / 2)) * fine, h = (1 << Math.floor(order / 2)) * fine;
        const x = p.x + zx[i] * fine, y = p.y + zy[i] * fine;
        c.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
        if (this.use[first + i] === FREE && w >= 14 && h >= 11) {
          c.font = `600 ${Math.min(22, Math.floor(h * 0.6))}px system-ui, sans-serif`;
          c.fillStyle = order > 6 ? '#fff' : '#10201c';
          c.fillText(order, x + w / 2, y + h / 2 + 0.5);
        }
      }
    }
    c.textAlign = 'start';
  }

  // A run of frames as the rectangles it is made of.
  outline(pfn, pages, colour, width, label) {
    const c = this.context, fine = this.side / SIDE;
    let box = null;
    let at = pfn, left = pages, pieces = 0;
    c.strokeStyle = colour;
    c.lineWidth = width;
    while (left > 0 && pieces++ < 4000) {
      let order = 0;
      while (order < 10 && (at >> order) % 2 === 0 && (2 << order) <= left) { order++; }
      const p = this.places.get(Math.floor(at / BLOCK));
      if (p) {
        const i = at % BLOCK;
        const x = p.x + zx[i] * fine, y = p.y + zy[i] * fine;
        const w = Math.max(3, (1 << Math.ceil(order / 2)) * fine), h = Math.max(3, (1 << Math.floor(order / 2)) * fine);
        c.strokeRect(x, y, w, h);
        box = box || { x, y, w, h };
      }
      at += 1 << order;
      left -= 1 << order;
    }
    if (label && box) {
      c.font = '700 12px system-ui, sans-serif';
      const wide = c.measureText(label).width + 10;
      const x = Math.min(Math.max(0, box.x), this.canvas.width / this.ratio - wide), y = box.y >= 18 ? box.y - 18 : box.y + box.h + 2;
      c.fillStyle = colour;
      c.fillRect(x, y, wide, 17);
      c.fillStyle = this.colours.ground;
      c.textBaseline = 'middle';
      c.fillText(label, x + 5, y + 9);
    }
  }

  frameAt(e) {
    const r = this.canvas.getBoundingClientRect();
    const x = e.clientX - r.left, y = e.clientY - r.top;
    if (this.clip && (x < this.clip.x || y < this.clip.y || x >= this.clip.x + this.clip.w || y >= this.clip.y + this.clip.h)) { return -1; }
    for (const [block, p] of this.places || []) {
      if (x >= p.x && x < p.x + this.side && y >= p.y && y < p.y + this.side) {
        const fx = Math.min(SIDE - 1, Math.floor((x - p.x) / this.side * SIDE)), fy = Math.min(SIDE - 1, Math.floor((y - p.y) / this.side * SIDE));
        return block * BLOCK + toFrame[fy * SIDE + fx];
      }
    }
    return -1;
  }

  point(e) { this.tell(this.frameAt(e)); }

  tell(pfn) {
    if (pfn === this.told) { return; }
    this.told = pfn;
    clearTimeout(this.telling);
    this.telling = setTimeout(() => { if (!this.gone) { this.owner.invokeMethodAsync('PointedAt', pfn); } }, 30);
  }

  click(e) {
    const pfn = this.frameAt(e);
    if (pfn < 0) { return; }
    this.cursor = pfn;
    if (this.side < 1024) { this.zoom(true); }
    this.owner.invokeMethodAsync('PointedAt', pfn);
  }

  key(e) {
    const [from, to] = this.part ? [this.part.start / BLOCK, (this.part.start + this.part.pages) / BLOCK] : this.range || [0, this.blocks];
    const fine = this.side / SIDE >= 3;
    const step = fine ? 1 : BLOCK;
    if (this.cursor < 0 || this.cursor < from * BLOCK || this.cursor >= to * BLOCK) { this.cursor = from * BLOCK; }
    const columns = Math.max(1, Math.floor(this.canvas.width / this.ratio / this.side));
    const moves = { ArrowRight: step, ArrowLeft: -step, ArrowDown: fine ? SIDE : BLOCK * columns, ArrowUp: fine ? -SIDE : -BLOCK * columns };
    if (e.key in moves) {
      this.cursor = Math.min(to * BLOCK - 1, Math.max(from * BLOCK, this.cursor + moves[e.key]));
    } else if (e.key === '+' || e.key === '=' || e.key === 'Enter') {
      this.zoom(true);
    } else if (e.key === '-' || e.key === 'Escape') {
      this.zoom(false);
    } else {
      return;
    }
    e.preventDefault();
    this.owner.invokeMethodAsync('PointedAt', this.cursor);
    this.schedule();
  }
}

export function create(canvas, owner) { return new MemoryPicture(canvas, owner); }
