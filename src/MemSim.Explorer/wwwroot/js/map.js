// The picture of memory. A block of the largest order (1024 frames) is a square of 32 x 32; frames lie in it along a Z curve,
// so that a block of any order is a square or half of one, and its buddy is the other half.
// Messages come from MapEncoder.cs, one call each (PictureScript.cs). Only blocks in which something changed are painted again.

import { AGES, BOOT, FREE, PCP, USES, readColours } from './colours.js';

const SIDE = 32;
const BLOCK = SIDE * SIDE;
const HEAD = 8;
const RUN = 12;
const NONE = 255;
const ORDERS = 11;
const FLASH_MS = 1400;
const PARTS = [256, 64, 16, 4, 1];

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
    this.number = pictures.size + 1;
    while (pictures.has(this.number)) { this.number++; }
    pictures.set(this.number, this);
    const tile = document.createElement('canvas');
    tile.width = tile.height = SIDE;
    this.tile = tile.getContext('2d', { willReadFrequently: true });
    this.image = new ImageData(SIDE, SIDE);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.dirty = new Set();
    this.all = true;
    this.zones = [];
    this.marks = [];
    this.mode = 'order';
    this.range = null;
    this.cursor = -1;
    this.flashes = [];
    this.calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.dark = matchMedia('(prefers-color-scheme: dark)');
    this.onTheme = () => { this.colours = readColours(); this.paintAll(); };
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
    this.colours = readColours();
  }

  id() { return this.number; }

  dispose() {
    this.dark.removeEventListener('change', this.onTheme);
    this.watcher.disconnect();
    this.sizer.disconnect();
    this.canvas.removeEventListener('pointermove', this.onMove);
    this.canvas.removeEventListener('pointerleave', this.onLeave);
    this.canvas.removeEventListener('click', this.onClick);
    this.canvas.removeEventListener('keydown', this.onKey);
    pictures.delete(this.number);
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
    this.freeBlocks = new Uint16Array(blocks * ORDERS);
    this.uses = new Uint16Array(blocks * USES.length);
    this.now = 1;
    this.marks = [];
    this.flashes = [];
    this.layout();
  }

  // Only blocks in which something changed.
  update(bytes, now, flash) {
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const until = performance.now() + FLASH_MS;
    this.now = now;
    let at = 0;
    while (at + HEAD <= bytes.byteLength) {
      const block = data.getInt32(at, true);
      const runs = data.getUint16(at + 4, true);
      this.type[block * 2] = data.getUint8(at + 6);
      this.type[block * 2 + 1] = data.getUint8(at + 7);
      at += HEAD;
      const first = block * BLOCK;
      const free = block * ORDERS, uses = block * USES.length;
      this.freeBlocks.fill(0, free, free + ORDERS);
      this.uses.fill(0, uses, uses + USES.length);
      this.head.fill(0, first, first + BLOCK);
      for (let i = 0; i < runs; i++, at += RUN) {
        const start = first + data.getUint16(at, true);
        const end = start + data.getUint16(at + 2, true);
        const use = data.getUint8(at + 4), order = data.getUint8(at + 5), lru = data.getUint8(at + 6);
        const stamp = data.getUint32(at + 8, true);
        if (flash && (this.use[start] !== use || this.order[start] !== order || this.stamp[start] !== stamp) && order !== NONE && this.flashes.length < 400) {
          this.flashes.push({ block, pfn: start, pages: end - start, until, freed: use === FREE || use === PCP });
        }
        this.use.fill(use, start, end);
        this.order.fill(order, start, end);
        this.head[start] = 1;
        this.lru.fill(lru, start, end);
        this.stamp.fill(stamp, start, end);
        this.uses[uses + use] += end - start;
        if (use === FREE) { this.freeBlocks[free + order]++; }
      }
      this.dirty.add(block);
    }
    this.schedule();
  }

  // What is drawn, counted: for the text beside the picture.
  count() {
    return this.zones.map(zone => {
      const free = new Array(ORDERS).fill(0);
      const uses = {};
      for (let block = Math.floor(zone.start / BLOCK); block * BLOCK < zone.end; block++) {
        if (block * BLOCK >= zone.start && (block + 1) * BLOCK <= zone.end) {
          for (let order = 0; order < ORDERS; order++) { free[order] += this.freeBlocks[block * ORDERS + order]; }
          for (let use = 0; use < USES.length; use++) {
            const n = this.uses[block * USES.length + use];
            if (n) { uses[USES[use]] = (uses[USES[use]] || 0) + n; }
          }
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

  setMarks(marks) { this.marks = marks; this.paintAll(); }

  // Shows frames from start to end; null shows everything.
  show(start, end) {
    this.range = start === null || start < 0 ? null : [Math.floor(start / BLOCK), Math.ceil(end / BLOCK)];
    // Part of a block: a square of 256 frames, or 64, down to a single one.
    const pages = end - start;
    this.part = this.range && start % pages === 0 && PARTS.includes(pages) ? { start, pages } : null;
    this.layout();
  }

  zoom(inward) {
    const all = this.blocks;
    const [from, to] = this.range || [0, all];
    const span = to - from;
    const pages = this.part ? this.part.pages : BLOCK;
    if (inward && span === 1 && pages === 1) { return; }
    if (inward && span === 1) {
      const low = this.part ? this.part.start : from * BLOCK;
      const start = this.cursor >= low && this.cursor < low + pages ? this.cursor : low;
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

  // One block, with everything that belongs to it.
  paintBlock(block) {
    const place = this.places.get(block);
    if (!place) { return; }
    const c = this.context, s = this.side, fine = s / SIDE, first = block * BLOCK;
    // A run has one colour: looking it up once a run keeps large blocks cheap.
    for (let i = 0; i < BLOCK;) {
      const colour = this.colourOf(first + i);
      let end = i + 1;
      while (end < BLOCK && !this.head[first + end]) { end++; }
      if (this.mode === 'type' && i < BLOCK / 2) { end = Math.min(end, BLOCK / 2); }
      for (; i < end; i++) { this.pixels[zy[i] * SIDE + zx[i]] = colour; }
    }
    this.tile.putImageData(this.image, 0, 0);
    c.drawImage(this.tile.canvas, 0, 0, SIDE, SIDE, place.x, place.y, s - this.gap, s - this.gap);
    if (fine >= 3) { this.drawBlocks(block, place, fine); }
  }

  paintAll() {
    this.all = true;
    this.schedule();
  }

  layout() {
    if (!this.zones.length || this.gone) { return; }
    const box = this.canvas.parentElement;
    const width = Math.max(160, Math.floor(box.clientWidth));
    const height = Math.max(200, Math.min(Math.round(window.innerHeight * 0.5), Math.round(width * 0.9)));
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
    this.places = new Map();
    this.labels = [];
    let y = 0;
    for (const part of parts) {
      this.labels.push({ text: part.zone.name, y });
      y += label;
      for (let block = part.from; block < part.to; block++) {
        const i = block - part.from, column = i % columns, down = Math.floor(i / columns);
        if (this.places.has(block)) { continue; }
        this.places.set(block, { x: column * side, y: y + down * side });
      }
      y += Math.ceil((part.to - part.from) / columns) * side;
    }
    this.columns = columns;
    this.finish(side, width, y);
  }

  // A part of one block, as large as there is room.
  layoutPart(zone, width, height, label) {
    const across = Math.sqrt(this.part.pages);
    const fine = Math.floor(Math.min(width, height - label) / across);
    const block = Math.floor(this.part.start / BLOCK), i = this.part.start % BLOCK;
    this.places = new Map([[block, { x: -zx[i] * fine, y: label - zy[i] * fine }]]);
    this.labels = [{ text: zone.name + ', pfn 0x' + this.part.start.toString(16) + (this.part.pages > 1 ? ' to 0x' + (this.part.start + this.part.pages - 1).toString(16) : ''), y: 0 }];
    this.columns = 1;
    this.clip = { x: 0, y: label, w: across * fine, h: across * fine };
    this.finish(fine * SIDE, width, label + across * fine);
  }

  finish(side, width, y) {
    this.clip = this.part ? this.clip : null;
    this.side = side;
    this.gap = side >= 24 && !this.part ? 1 : 0;
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
    requestAnimationFrame(() => { this.pending = false; this.draw(); });
  }

  draw() {
    if (this.gone || !this.places) { return; }
    const c = this.context, now = performance.now();
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.imageSmoothingEnabled = this.side < SIDE;
    c.save();
    if (this.clip) {
      c.beginPath();
      c.rect(this.clip.x, this.clip.y, this.clip.w, this.clip.h);
      c.clip();
    }
    if (this.all) {
      c.clearRect(0, 0, this.canvas.width, this.canvas.height);
      for (const block of this.places.keys()) { this.paintBlock(block); }
    } else {
      for (const f of this.flashes) { this.dirty.add(f.block); }
      for (const block of this.dirty) { this.paintBlock(block); }
    }
    this.flashes = this.calm ? [] : this.flashes.filter(f => f.until > now && this.places.has(f.block));
    for (const f of this.flashes) {
      c.globalAlpha = Math.min(1, (f.until - now) / 900);
      this.outline(f.pfn, f.pages, f.freed ? this.colours.freed : this.colours.accent, 2);
    }
    c.globalAlpha = 1;
    const marked = this.marks.map(m => this.outline(m.pfn, m.pages, this.colours.accent, 2.5));
    const cursor = document.activeElement === this.canvas ? this.cursor : -1;
    if (cursor >= 0) { this.outline(cursor, 1, this.colours.text, 2); }
    c.restore();
    this.marks.forEach((m, i) => this.writeLabel(m.label, marked[i]));
    if (this.all) {
      c.font = '600 12px system-ui, sans-serif';
      c.textBaseline = 'middle';
      c.fillStyle = this.colours.text;
      for (const l of this.labels) { c.fillText('zone ' + l.text, 0, l.y + 11); }
    }
    this.all = false;
    this.dirty.clear();
    // Where the cursor was is painted without it next time.
    if (cursor >= 0) { this.dirty.add(Math.floor(cursor / BLOCK)); }
    if (this.flashes.length) { this.schedule(); }
  }

  drawBlocks(block, p, fine) {
    const c = this.context, first = block * BLOCK;
    c.strokeStyle = this.colours.line;
    c.lineWidth = 1;
    c.textBaseline = 'middle';
    c.textAlign = 'center';
    for (let i = 0; i < BLOCK; i++) {
      if (!this.head[first + i]) { continue; }
      const order = this.order[first + i];
      if (order === NONE) { continue; }
      const w = (1 << Math.ceil(order / 2)) * fine, h = (1 << Math.floor(order / 2)) * fine;
      const x = p.x + zx[i] * fine, y = p.y + zy[i] * fine;
      c.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
      if (this.use[first + i] === FREE && w >= 14 && h >= 11) {
        c.font = `600 ${Math.min(22, Math.floor(h * 0.6))}px system-ui, sans-serif`;
        c.fillStyle = order > 6 && this.mode === 'order' ? '#fff' : this.mode === 'order' ? '#10201c' : this.colours.text;
        c.fillText(order, x + w / 2, y + h / 2 + 0.5);
      }
    }
    c.textAlign = 'start';
  }

  // A run of frames as the rectangles it is made of, each line inside its rectangle. Returns where the first one is.
  outline(pfn, pages, colour, width) {
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
        const w = Math.max(4, (1 << Math.ceil(order / 2)) * fine), h = Math.max(4, (1 << Math.floor(order / 2)) * fine);
        const x = Math.min(p.x + zx[i] * fine, p.x + this.side - w), y = Math.min(p.y + zy[i] * fine, p.y + this.side - h);
        c.strokeRect(x + width / 2, y + width / 2, w - width, h - width);
        box = box || { x, y, w, h };
      }
      at += 1 << order;
      left -= 1 << order;
    }
    return box;
  }

  writeLabel(label, box) {
    if (!label || !box) { return; }
    const c = this.context;
    c.font = '700 12px system-ui, sans-serif';
    const wide = c.measureText(label).width + 10;
    // Inside where there is room; else above, and not on the zone's name.
    const inside = box.w >= wide + 6 && box.h >= 40;
    const x = Math.min(Math.max(0, box.x + (inside ? 3 : 0)), this.canvas.width / this.ratio - wide);
    const y = inside ? box.y + 3 : box.y >= 40 ? box.y - 18 : box.y + box.h + 2;
    c.fillStyle = this.colours.accent;
    c.fillRect(x, y, wide, 17);
    c.fillStyle = this.colours.ground;
    c.textBaseline = 'middle';
    c.fillText(label, x + 5, y + 9);
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
    this.zoom(true);
    this.owner.invokeMethodAsync('PointedAt', pfn);
  }

  key(e) {
    const [from, to] = this.range || [0, this.blocks];
    const low = this.part ? this.part.start : from * BLOCK, high = this.part ? low + this.part.pages : to * BLOCK;
    if (this.cursor < low || this.cursor >= high) { this.cursor = low; }
    const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    if (e.key in ways) {
      const next = this.neighbour(...ways[e.key]);
      if (next >= low && next < high) { this.cursor = next; }
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

  // The frame beside the cursor's, or the block where frames are too small to tell apart.
  neighbour(dx, dy) {
    const block = Math.floor(this.cursor / BLOCK), i = this.cursor % BLOCK;
    if (this.side / SIDE < 3) { return (block + dx + dy * this.columns) * BLOCK; }
    const x = zx[i] + dx, y = zy[i] + dy;
    if (x >= 0 && x < SIDE && y >= 0 && y < SIDE) { return block * BLOCK + toFrame[y * SIDE + x]; }
    return (block + dx + dy * this.columns) * BLOCK + toFrame[((y + SIDE) % SIDE) * SIDE + (x + SIDE) % SIDE];
  }
}

// Pictures by number: what C# calls without going through JSON.
const pictures = new Map();

export function update(number, view, now, flash) { pictures.get(number)?.update(view.slice(), now, flash); }

export function nextFrame() { return new Promise(done => requestAnimationFrame(() => done())); }

export function create(canvas, owner) { return new MemoryPicture(canvas, owner); }
