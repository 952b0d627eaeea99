// Returns the photographs that were picked, dropped or pasted, as {file, name}.

const PICTURE = /\.(jpe?g|jpe|jfif|png|webp|tiff?|bmp|gif|mpo|avif|hei[cf]|hif)$/i;

const withName = (file) => ({ file, name: file.name || "photograph" });

export const picked = (list) => [...list].map(withName);

// Folders are searched; from them, only files with the extension of an image are returned.
export async function dropped(transfer) {
  // read both before the first `await`: the transfer is empty afterwards
  const items = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const files = [];
  for (const { entry, file } of items) {
    if (entry?.isDirectory) files.push(...(await filesIn(entry)));
    else if (file) files.push(withName(file));
  }
  return files;
}

async function filesIn(folder) {
  const reader = folder.createReader();
  const files = [];
  for (;;) {
    const entries = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!entries.length) return files;
    for (const entry of entries) {
      if (entry.isDirectory) files.push(...(await filesIn(entry)));
      else if (PICTURE.test(entry.name) && !entry.name.startsWith(".")) {
        const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
        if (file) files.push({ file, name: entry.fullPath.replace(/^\//, "") });
      }
    }
  }
}

let pastes = 0;

export function pasted(clipboard) {
  return [...clipboard.files].map((file) => {
    if (file.name && file.name !== "image.png") return withName(file);
    pastes += 1; // browsers name every image from the clipboard image.png
    return { file, name: `pasted-${pastes}.png` };
  });
}
