// Photographs that are dropped, pasted or picked, as {file, name}.

const PICTURE = /\.(jpe?g|jpe|jfif|png|webp|tiff?|bmp|gif|mpo|avif|heic)$/i;

const plain = (file) => ({ file, name: file.name || "photograph" });

export const picked = (list) => [...list].map(plain);

// Folders are walked through; of them, only what looks like a photograph is taken.
export async function dropped(transfer) {
  // both have to be asked for before the first `await`: afterwards the transfer is empty
  const items = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const found = [];
  for (const { entry, file } of items) {
    if (entry?.isDirectory) found.push(...(await walked(entry)));
    else if (file) found.push(plain(file));
  }
  return found;
}

async function walked(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!entries.length) return found;
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await walked(entry)));
      else if (PICTURE.test(entry.name) && !entry.name.startsWith(".")) {
        const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
        if (file) found.push({ file, name: entry.fullPath.replace(/^\//, "") });
      }
    }
  }
}

let pastes = 0;

export function pasted(clipboard) {
  return [...clipboard.files].map((file) => {
    if (file.name && file.name !== "image.png") return plain(file);
    pastes += 1; // browsers call every picture from the clipboard image.png
    return { file, name: `pasted-${pastes}.png` };
  });
}
