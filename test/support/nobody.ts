/** Where nobody listens, nor will: the port of a service that has died out. A port that was free just now may be taken. */
export const nobody = "http://127.0.0.1:9";
