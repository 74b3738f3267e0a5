/**
 * What WordPress 6.1, PHP 8.2 and nginx 1.22 say, byte for byte as recorded, and how PHP writes JSON.
 */

/** One answer of the site, before it becomes a Response. */
export interface SiteAnswer {
  /** How the log calls it. */
  readonly outcome: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>> | Headers;
  readonly body: string;
  /** The connection breaks after the body, which is not all of it. */
  readonly cut?: true;
}

const html = "text/html; charset=UTF-8";
const json = "application/json; charset=UTF-8";
const server = { server: "nginx/1.22.1" };
const nocache = {
  expires: "Wed, 11 Jan 1984 05:00:00 GMT",
  "cache-control": "no-cache, must-revalidate, max-age=0",
};

const ajaxHeaders = {
  ...server,
  "x-robots-tag": "noindex",
  "x-content-type-options": "nosniff",
  "referrer-policy": "strict-origin-when-cross-origin",
  "x-frame-options": "SAMEORIGIN",
  ...nocache,
};
const ajaxJsonHeaders = { "content-type": json, ...ajaxHeaders };
const ajaxHtmlHeaders = { "content-type": html, ...ajaxHeaders };

/** PHP's `json_encode`: slashes and everything beyond ASCII are escaped. */
export function phpJson(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll("/", "\\/")
    .replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** `wp_send_json_*` under admin-ajax.php. */
export function ajaxJson(
  outcome: string,
  value: unknown,
  status = 200,
  headers?: Readonly<Record<string, string>>,
): SiteAnswer {
  return ajaxText(outcome, phpJson(value), status, headers);
}

/** A body as it is, with the headers of `wp_send_json_*`. */
export function ajaxText(
  outcome: string,
  body: string,
  status = 200,
  headers?: Readonly<Record<string, string>>,
): SiteAnswer {
  return { outcome, status, headers: headers ? { ...ajaxJsonHeaders, ...headers } : ajaxJsonHeaders, body };
}

/** `wp_send_json_error( text )`. */
export const ajaxError = (outcome: string, text: string, status = 200): SiteAnswer =>
  ajaxJson(outcome, { success: false, data: text }, status);

/** `wp_die( text )` under admin-ajax.php: `0`, `-1` and the like. */
export const ajaxDie = (outcome: string, text: string, status: number): SiteAnswer => ({
  outcome,
  status,
  headers: ajaxHtmlHeaders,
  body: text,
});

/** admin-ajax.php called without an action: fewer headers, since it dies earlier. */
export const noAction: SiteAnswer = {
  outcome: "wordpress_400",
  status: 400,
  headers: { ...server, "content-type": html, "x-robots-tag": "noindex", ...nocache },
  body: "0",
};

/** An OPTIONS request of a foreign origin to admin-ajax.php. */
export const foreignPreflight: SiteAnswer = {
  outcome: "wordpress_403",
  status: 403,
  headers: { ...server, "content-type": html },
  body: "",
};

/** A PHP fatal error in the plugin. */
export const ajaxFatal: SiteAnswer = {
  outcome: "fatal",
  status: 500,
  headers: ajaxHtmlHeaders,
  body: '<p>There has been a critical error on this website.</p><p><a href="https://wordpress.org/support/article/faq-troubleshooting/">Learn more about troubleshooting WordPress.</a></p>',
};

/** What PHP prints in front of the JSON with display_errors on. */
export const phpWarning =
  '<br />\n<b>Warning</b>:  Undefined array key "choices" in <b>/var/www/html/wp-content/plugins/kimi-chat-sim/sim.php</b> on line <b>270</b><br />\n';

/** nginx's own page; CRLF, as nginx writes it. */
export function nginxPage(outcome: string, status: number, name: string, signature: string): SiteAnswer {
  return {
    outcome,
    status,
    headers: { ...server, "content-type": "text/html" },
    body: `<html>\r\n<head><title>${status} ${name}</title></head>\r\n<body>\r\n<center><h1>${status} ${name}</h1></center>\r\n<hr><center>${signature}</center>\r\n</body>\r\n</html>\r\n`,
  };
}

/** The PHP process died before it said anything. */
export const phpDied: SiteAnswer = nginxPage("kill", 502, "Bad Gateway", "nginx/1.22.1");

/** A body over nginx's client_max_body_size. */
export const bodyTooLarge: SiteAnswer = nginxPage(
  "nginx_413",
  413,
  "Request Entity Too Large",
  "nginx/1.22.1",
);

const diePage = (title: string, body: string) =>
  `<!DOCTYPE html>\n<html dir='ltr'>\n<head>\n\t<meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />\n\t<meta name="viewport" content="width=device-width">\n\t<title>${title}</title>\n\t<style type="text/css">\n\t\thtml {\n\t\t\tbackground: #f1f1f1;\n\t\t}\n\t</style>\n</head>\n<body id="error-page">\n\t${body}</body>\n</html>\n`;

const maintenanceText = "Briefly unavailable for scheduled maintenance. Check back in a minute.";

/** WordPress while it updates itself. */
export function maintenance(where: "ajax" | "page"): SiteAnswer {
  return {
    outcome: "maintenance",
    status: 503,
    headers: { ...server, "content-type": html, "retry-after": "600", ...nocache },
    body:
      where === "ajax"
        ? maintenanceText
        : diePage("Maintenance", `<div class="wp-die-message">${maintenanceText}</div>`),
  };
}

const databaseText =
  '<h1>Error establishing a database connection</h1>\n<p>This either means that the username and password information in your <code>wp-config.php</code> file is incorrect or that contact with the database server at <code>localhost</code> could not be established. This could mean your host&#8217;s database server is down.</p>\n<ul>\n<li>Are you sure you have the correct username and password?</li>\n<li>Are you sure you have typed the correct hostname?</li>\n<li>Are you sure the database server is running?</li>\n</ul>\n<p>If you are unsure what these terms mean you should probably contact your host. If you still need help you can always visit the <a href="https://wordpress.org/support/forums/">WordPress Support Forums</a>.</p>\n';

/** WordPress refused by its database: 200 for a call, 500 for a page. */
export function databaseDown(where: "ajax" | "page"): SiteAnswer {
  return {
    outcome: "database",
    status: where === "ajax" ? 200 : 500,
    headers: { ...server, "content-type": html, ...nocache },
    body:
      where === "ajax"
        ? databaseText
        : diePage("Database Error", `<div class="wp-die-message">${databaseText}</div>`),
  };
}

/** A page that does not exist, in the theme's look. */
export const notFound = (outcome: string): SiteAnswer => ({
  outcome,
  status: 404,
  headers: { ...server, "content-type": html, ...nocache },
  body: '<!DOCTYPE html>\n<html lang="en-US">\n<head>\n\t<meta charset="UTF-8" />\n<title>Page not found &#8211; Kimi AI</title>\n</head>\n<body class="error404 wp-embed-responsive">\n<h1>404</h1>\n<p>This page could not be found.</p>\n</body>\n</html>\n',
});

/** A PHP fatal error while a page is built. */
export const pageFatal: SiteAnswer = {
  outcome: "fatal",
  status: 500,
  headers: { ...server, "content-type": html, ...nocache },
  body: diePage("WordPress &rsaquo; Error", `<div class="wp-die-message">${ajaxFatal.body}</div>`),
};

/** WordPress's own redirect, of `/chat` to `/chat/` for example. */
export const wordpressRedirect = (location: string): SiteAnswer => ({
  outcome: "wordpress_301",
  status: 301,
  headers: { ...server, "content-type": html, "x-redirect-by": "WordPress", location },
  body: "",
});

/** An answer of web server, edge or login wall, which has none of WordPress's headers. */
export function edgeAnswer(
  outcome: string,
  status: number,
  body: string,
  headers?: Readonly<Record<string, string>>,
): SiteAnswer {
  return { outcome, status, headers: { ...server, "content-type": html, ...headers }, body };
}
