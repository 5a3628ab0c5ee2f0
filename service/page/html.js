import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

/**
 * Markup as a template, drawn by Preact. Values are inserted as text, never as markup: labels and descriptions come
 * from model cards that anybody may have written.
 */
export const html = htm.bind(h);

export { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
export { render } from "./vendor/preact.js";
