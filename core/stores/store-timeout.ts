/** How long one operation of a store may take, in milliseconds: a store that hangs must not hang requests. */
export const storeTimeoutMs = 2_000;
