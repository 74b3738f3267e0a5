/** Elements, made by hand: nothing here or elsewhere in web/ turns text into HTML. */

type Child = Node | string | undefined | false;

interface Props {
  readonly [name: string]: unknown;
}

/**
 * An element with properties and children. `on…` are listeners, a name with a dash is an attribute, and the rest are
 * properties.
 */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  props: Props = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else if (name.includes("-") || name === "role") element.setAttribute(name, String(value));
    else Object.assign(element, { [name]: value });
  }
  element.append(...children.filter((child) => child !== undefined && child !== false));
  return element;
}

/** The page's element of that id. */
export const byId = <Kind extends HTMLElement = HTMLElement>(id: string): Kind =>
  document.getElementById(id) as Kind;
