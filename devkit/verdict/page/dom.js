"use strict";
// Whatever a model or a user wrote reaches the page as textContent only.

const $ = (id) => document.getElementById(id);

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

async function unpack(element) {
  const bytes = Uint8Array.from(atob(element.textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

const number = (value, digits = 3) =>
  Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(digits)).toLocaleString("en", { maximumFractionDigits: 6 });
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
const rewardText = (reward) => (reward === null ? "none" : number(reward));
