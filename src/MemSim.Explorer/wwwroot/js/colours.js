// What the numbers in a message of MapEncoder.cs are called, and their colours: variables of app.css.

export const USES = ['hole', 'reserved', 'boot', 'free', 'pcp', 'kernel', 'slab', 'table', 'anon', 'file', 'shmem', 'movable'];
export const BOOT = 2, FREE = 3, PCP = 4;
export const AGES = 8;
const LRUS = ['none', 'inactive-anon', 'active-anon', 'inactive-file', 'active-file', 'unevictable', 'gen-0', 'gen-1', 'gen-2', 'gen-3'];
const TYPES = ['unmovable', 'movable', 'reclaimable', 'highatomic', 'cma', 'isolate'];

// Colours as numbers that can be written into an image.
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  probe.canvas.width = probe.canvas.height = 1;
  const read = name => {
    probe.fillStyle = style.getPropertyValue(name).trim() || '#888';
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
    return (255 << 24) | (b << 16) | (g << 8) | r;
  };
  return {
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
