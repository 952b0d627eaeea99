// Small pictures for the cards, so that hundreds of large photographs fit into memory.

import { limiter } from "./queue.js";

const SIDE = 900;
const SMALL_ENOUGH = 300_000;
const soon = limiter(2);

// Returns {url, width, height} of a picture in a Blob, or null where this browser cannot read it.
export function preview(blob) {
  return soon(async () => {
    const url = URL.createObjectURL(blob);
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
    } catch {
      URL.revokeObjectURL(url);
      return null;
    }
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    const scale = SIDE / Math.max(width, height);
    if (!width || !height) {
      URL.revokeObjectURL(url);
      return null;
    }
    if (scale >= 1 && blob.size <= SMALL_ENOUGH) return { url, width, height };
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * Math.min(1, scale)));
    canvas.height = Math.max(1, Math.round(height * Math.min(1, scale)));
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    const small = await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.9));
    if (!small) return { url, width, height };
    URL.revokeObjectURL(url);
    return { url: URL.createObjectURL(small), width, height };
  });
}

export function forget(picture) {
  if (picture) URL.revokeObjectURL(picture.url);
}
