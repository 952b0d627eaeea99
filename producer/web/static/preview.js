// Reduces images for the cards, so that hundreds of large photographs fit into memory.

import { limiter } from "./queue.js";

const MAX_SIDE = 900; // pixels
const MAX_UNREDUCED_BYTES = 300_000;
const decoding = limiter(2);

// Returns {url, width, height} for the image in a Blob, or null if this browser cannot decode it.
export function preview(blob) {
  return decoding(async () => {
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
    const scale = MAX_SIDE / Math.max(width, height);
    if (!width || !height) {
      URL.revokeObjectURL(url);
      return null;
    }
    if (scale >= 1 && blob.size <= MAX_UNREDUCED_BYTES) return { url, width, height };
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

export function release(image) {
  if (image) URL.revokeObjectURL(image.url);
}
