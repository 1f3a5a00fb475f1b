// What a file looks like. Its bytes never become a page: text is text, pictures are pictures, a PDF is shown by the viewer.
import { encodePath } from "./api.js";
import { h } from "./dom.js";
import { size } from "./format.js";

const TEXT_BYTES = 64 * 1024;
const PICTURE_BYTES = 64 * 1024 * 1024;
const PDF_BYTES = 64 * 1024 * 1024;
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/svg+xml", "image/x-icon"]);
const TEXTS = /^(text\/|application\/(json|xml|yaml|x-yaml|toml|javascript|x-sh|sql|x-ndjson)|.*\+(json|xml)$)/;
const TEXT_NAMES = /\.(txt|md|rst|log|csv|tsv|json|ya?ml|toml|ini|cfg|conf|py|js|mjs|ts|css|html?|xml|sh|c|h|cc|cpp|hpp|rs|go|java|rb|sql|env|gitignore)$/i;

export async function preview(info, box) {
  const type = info.content_type.split(";")[0].trim().toLowerCase();
  const address = `/v1/files/${encodePath(info.path)}?generation=${info.generation}`;
  if (PICTURES.has(type) && info.size <= PICTURE_BYTES) return frame(h("img", { src: address, alt: `Preview of ${info.path.split("/").at(-1)}`, decoding: "async" }));
  if (type.startsWith("audio/")) return frame(h("audio", { src: address, controls: true, preload: "metadata" }));
  if (type.startsWith("video/")) return frame(h("video", { src: address, controls: true, preload: "metadata" }));
  if (type === "application/pdf" && info.size <= PDF_BYTES) return pdf(address, box);
  if (info.size && (TEXTS.test(type) || TEXT_NAMES.test(info.path))) return text(address, info);
  return null;
}

function frame(...content) { return h("div", { class: "preview" }, content); }

async function text(address, info) {
  const answer = await fetch(address, { headers: { Range: `bytes=0-${TEXT_BYTES - 1}` } });
  if (!answer.ok) return null;
  const shown = new TextDecoder().decode(await answer.arrayBuffer());
  return frame(h("pre", { class: "mono", tabindex: "0", "aria-label": "Preview" }, shown),
    info.size > TEXT_BYTES ? h("p", { class: "muted small" }, `The first ${size(TEXT_BYTES)} of ${size(info.size)}.`) : null);
}

async function pdf(address, box) {
  const answer = await fetch(address);
  if (!answer.ok) return null;
  const made = URL.createObjectURL(new Blob([await answer.arrayBuffer()], { type: "application/pdf" }));
  box.addEventListener("gone", () => URL.revokeObjectURL(made));
  return frame(h("iframe", { src: made, title: "Preview of the PDF" }));
}
