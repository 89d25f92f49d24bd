// Small things that only a page can do.

export function copy(text) { return navigator.clipboard ? navigator.clipboard.writeText(text).then(() => true, () => false) : Promise.resolve(false); }

export function save(name, type, bytes) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The picture of an SVG element, or of a canvas, as PNG.
export async function png(element, name) {
  let canvas = element;
  if (element.tagName.toLowerCase() === 'svg') {
    const box = element.viewBox.baseVal, scale = 2;
    const text = svgText(element);
    const image = new Image();
    await new Promise((done, failed) => { image.onload = done; image.onerror = failed; image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(text); });
    canvas = document.createElement('canvas');
    canvas.width = box.width * scale;
    canvas.height = box.height * scale;
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
  }
  const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));
  save(name, 'image/png', await blob.arrayBuffer());
}

// Colours are variables of the page: a picture on its own needs them as values.
export function svgText(element) {
  const copy = element.cloneNode(true);
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  const style = getComputedStyle(document.documentElement);
  const ground = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  ground.setAttribute('width', '100%');
  ground.setAttribute('height', '100%');
  ground.setAttribute('fill', style.getPropertyValue('--panel'));
  copy.insertBefore(ground, copy.firstChild);
  return copy.outerHTML.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
}

export function theme(name) {
  if (name === 'system') { delete document.documentElement.dataset.theme; localStorage.removeItem('theme'); } else { document.documentElement.dataset.theme = name; localStorage.setItem('theme', name); }
}

export function storedTheme() { return localStorage.getItem('theme') || 'system'; }

export function calm() { return matchMedia('(prefers-reduced-motion: reduce)').matches; }

// Files dropped on a box go to the file input inside it.
export function acceptDrops(box) {
  const input = box.querySelector('input[type=file]');
  const stop = e => { e.preventDefault(); box.classList.toggle('over', e.type === 'dragover'); };
  box.addEventListener('dragover', stop);
  box.addEventListener('dragleave', stop);
  box.addEventListener('drop', e => {
    stop(e);
    if (e.dataTransfer.files.length) {
      input.files = e.dataTransfer.files;
      input.dispatchEvent(new Event('change', { bubbles: true }));
    }
  });
}
