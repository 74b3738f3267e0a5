/** Where Vercel looks for functions. */
export { default } from "../adapters/vercel.ts";
