/** The page at `/`: the chat, and on its other tab how to connect an application. */
import { createChat } from "./chat/chat.ts";
import { createConnect } from "./connect/connect.ts";
import { byId } from "./shared/dom.ts";
import { createShell } from "./shared/shell.ts";

const shell = createShell();
const chat = createChat();
const connect = createConnect(chat.settings);
const main = byId("main");
main.append(chat.element, connect);

const show = () => {
  const isConnect = location.hash === "#connect";
  chat.element.hidden = isConnect;
  connect.hidden = !isConnect;
  shell.show(isConnect ? "connect" : "chat");
};
window.addEventListener("hashchange", show);
show();
