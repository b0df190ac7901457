// Builds the page's elements. Text becomes text nodes, never markup.

const SVG = 'http://www.w3.org/2000/svg';

/** @param {Object<string, string | number | boolean>} attributes false leaves one out, true sets it empty */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawing(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children);
  return made;
}
