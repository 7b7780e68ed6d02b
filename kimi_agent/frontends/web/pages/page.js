// What textual.js leaves to the page: why the connection ended, keys that a browser's terminal does not know.
"use strict";

const WORDS = {
  4000: ["kimi has ended.", "Start again"],
  4001: ["This session is open in another tab.", "Use it here"],
  4002: ["Too many sessions are open: close one first.", "Try again"],
  4003: ["The server is ending the session; it is kept.", "Go on with it"],
};
const LOST = ["The connection to kimi web was lost.", "Reload"];
let socket = null;

window.WebSocket = class extends window.WebSocket {
  constructor(...address) {
    super(...address);
    socket = this;
    this.addEventListener("open", focusTerminal);
    this.addEventListener("close", (event) => showEnd(...(WORDS[event.code] || LOST)));
  }

  send(data) {
    if (this.readyState === WebSocket.OPEN) { // textual.js does not ask, and fails when it is not
      super.send(data);
    }
  }
};

function showEnd(why, again) {
  document.getElementById("why").textContent = why;
  document.getElementById("again").textContent = again;
  document.body.classList.add("-ended");
}

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("again").addEventListener("click", () => location.reload());
});

document.addEventListener(
  "keydown",
  (event) => {
    if (event.key === "Enter" && event.shiftKey && !event.isComposing) {
      event.preventDefault();
      event.stopPropagation();
      socket?.send(JSON.stringify(["stdin", "\n"]));
    }
  },
  true,
);

function focusTerminal() {
  document.querySelector(".xterm-helper-textarea")?.focus();
}

window.addEventListener("focus", focusTerminal);
