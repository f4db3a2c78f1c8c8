/** One mistake of a config: where it is, as a JSON pointer, and what is wrong with it. */
export type Mistake = { pointer: string; message: string }

/** What `checkConfig` answers: the config as it is kept, and what speaks against keeping it. */
export type Checked<Config> = { config: Config; errors: Mistake[]; warnings: Mistake[] }

/** What `checkConfig` is told beside the config. */
export type CheckedFor = { trigger: Trigger }
