//! Files that hand trust onward: some program obeys them without being asked to run anything of the folder, with the rights
//! of who opens, enters, installs or pushes it. A stage that changes one is applied only when its owner says so.
//!
//! What only acts when the project itself is run is left out, a Makefile or a test as much as any source file: whoever runs
//! a project that a stage has changed runs the stage's code, and no list would alter that.

/// Patterns and the reason. They match anywhere below the folder, whatever the case (some folders do not tell it apart); `*`
/// stands for any part of one name; a slash at the end for everything below.
pub const TABLE: &[(&[&str], &str)] = &[
    (&[".git"], "says where git finds the repository, its hooks and configuration"),
    (&[".gitmodules"], "says where git fetches submodules from, and how it updates them"),
    (&[".gitattributes", ".gitconfig", ".config/git/"], "names filters, drivers and aliases that git runs"),
    (&["HEAD", "commondir"], "can make its folder a repository, whose configuration git obeys"),
    (
        &[
            ".husky/",
            ".githooks/",
            "lefthook.*",
            ".lefthook.*",
            ".lefthook/",
            ".pre-commit-config.y*ml",
            ".hg/",
            ".svn/",
        ],
        "is run by hooks of version control",
    ),
    (
        &[".github/workflows/", ".github/actions/", ".gitea/workflows/", ".forgejo/workflows/", "action.y*ml"],
        "is run by the forge, with the repository's secrets",
    ),
    (
        &[
            ".gitlab-ci.y*ml",
            ".gitlab/",
            "Jenkinsfile*",
            ".circleci/",
            ".travis.y*ml",
            "azure-pipelines*.y*ml",
            ".drone.*",
            ".buildkite/",
            "bitbucket-pipelines.y*ml",
            ".woodpecker*",
            ".woodpecker/",
            "*appveyor.y*ml",
            ".cirrus.*",
            "cloudbuild.y*ml",
            "buildspec.y*ml",
            ".teamcity/",
            ".semaphore/",
            ".builds/",
            ".build.y*ml",
            ".tekton/",
        ],
        "is run by continuous integration, with its secrets",
    ),
    (&["CODEOWNERS", "dependabot.y*ml", "renovate.json*", ".renovaterc*"], "says who must review, or what is updated"),
    (
        &[
            ".bash_*",
            ".bashrc*",
            ".profile",
            ".zsh*",
            ".zprofile",
            ".zlog*",
            ".kshrc",
            ".mkshrc",
            ".cshrc",
            ".tcshrc",
            ".login",
            ".logout",
            ".inputrc",
            "config.fish",
            "fish/conf.d/",
            "fish/functions/",
            ".xinitrc",
            ".xsession*",
            ".xprofile",
            ".Xresources",
            ".pam_environment",
            ".tmux.conf",
            ".screenrc",
            ".config/systemd/",
            ".config/autostart/",
            ".config/environment.d/",
            ".local/bin/",
            ".local/share/applications/",
        ],
        "is read when a shell or a session starts",
    ),
    (
        &[".envrc", ".env", ".env.*", ".direnv/", ".tool-versions", "mise*.toml", ".mise*.toml", ".mise/", ".autoenv*"],
        "sets variables of the environment where the folder is entered or a program started",
    ),
    (
        &[".ssh/", ".gnupg/", ".netrc", ".aws/", ".kube/", ".docker/", ".config/gh/"],
        "says who is trusted, and what programs are called for it",
    ),
    (
        &[
            ".vscode/",
            "*.code-workspace",
            ".idea/",
            "*.iml",
            ".vs/",
            ".fleet/",
            ".zed/",
            ".helix/",
            ".sublime*",
            "*.sublime-project",
            ".vim/",
            ".vimrc",
            ".gvimrc",
            ".exrc",
            ".nvimrc",
            ".nvim.lua",
            ".config/nvim/",
            ".lvimrc",
            ".local.vim*",
            ".emacs",
            ".emacs.d/",
            ".dir-locals*.el",
            ".editorconfig",
            ".clangd",
            ".ccls",
            ".kateproject",
            ".nova/",
            ".theia/",
            ".devcontainer/",
            ".devcontainer.json",
            ".gitpod.y*ml",
        ],
        "is obeyed by an editor that opens the folder",
    ),
    (
        &[
            ".claude/",
            ".cursor/",
            ".cursorrules",
            ".windsurf*",
            ".windsurf/",
            ".mcp.json",
            "mcp.json",
            "CLAUDE*.md",
            "AGENTS*.md",
            "GEMINI.md",
            "copilot-instructions.md",
            ".github/instructions/",
            ".github/prompts/",
            ".gemini/",
            ".codex/",
            ".aider*",
            ".continue/",
            ".opencode/",
            "opencode.json*",
            ".roo/",
            ".clinerules*",
            ".clinerules/",
        ],
        "is obeyed by a coding agent that works in the folder",
    ),
    (
        &[
            "package.json",
            ".npmrc",
            ".yarnrc*",
            ".yarn/",
            ".pnpmfile.*",
            "pnpm-workspace.y*ml",
            "binding.gyp",
            "bunfig.toml",
        ],
        "names scripts that installing packages runs, or where they come from",
    ),
    (
        &[
            "package-lock.json",
            "npm-shrinkwrap.json",
            "yarn.lock",
            "pnpm-lock.y*ml",
            "bun.lock*",
            "Cargo.lock",
            "Gemfile.lock",
            "composer.lock",
            "poetry.lock",
            "uv.lock",
            "pdm.lock",
            "Pipfile.lock",
            "go.sum",
            "flake.lock",
            "requirements*.txt",
            "constraints*.txt",
        ],
        "says which packages are fetched, and from where: their scripts run at installation",
    ),
    (
        &[
            "setup.py",
            "setup.cfg",
            "pyproject.toml",
            "pip.conf",
            "tox.ini",
            "sitecustomize.py",
            "usercustomize.py",
            "*.pth",
            "Pipfile",
            ".pypirc",
            ".pythonrc*",
            ".ipython/",
            ".jupyter/",
        ],
        "is run or obeyed when Python starts, installs or tests",
    ),
    (
        &["build.rs", "Cargo.toml", ".cargo/", "rust-toolchain", "rust-toolchain.toml"],
        "names or is what cargo runs while it builds, which editors do unasked",
    ),
    (
        &[
            "gradlew*",
            "gradle/",
            "*.gradle",
            "*.gradle.kts",
            "gradle.properties",
            "mvnw*",
            ".mvn/",
            "pom.xml",
            "build.sbt",
            "project/*.sbt",
            "composer.json",
            "Gemfile",
            "*.gemspec",
            ".bundle/",
            "go.work",
            "flake.nix",
            "shell.nix",
            "default.nix",
            "Directory.Build.*",
            "nuget.config",
            "*.csproj",
            "mix.exs",
            "rebar.config",
            "deno.json*",
            ".bazelrc",
            ".gdbinit",
            ".lldbinit",
            ".clang-tidy",
            ".ghci",
            ".Rprofile",
            ".Renviron",
            ".octaverc",
            ".irbrc",
            ".pryrc",
            ".pdbrc",
            ".perltidyrc",
            ".psqlrc",
            ".sqliterc",
        ],
        "is obeyed by a build tool, debugger or interpreter that starts in the folder",
    ),
];

/// What git writes in a repository when it commits; everything else there is configuration, or leads to it.
const GIT_DATA: &[&str] = &[
    "objects",
    "refs",
    "logs",
    "index",
    "index.lock",
    "head",
    "head.lock",
    "orig_head",
    "fetch_head",
    "merge_head",
    "merge_msg",
    "merge_mode",
    "auto_merge",
    "cherry_pick_head",
    "revert_head",
    "commit_editmsg",
    "packed-refs",
    "description",
    "shallow",
];

/// The reason why a path hands trust onward, if it does.
pub fn hands_on(path: &[u8]) -> Option<&'static str> {
    let lower = path.to_ascii_lowercase();
    let names: Vec<&[u8]> = lower.split(|b| *b == b'/').collect();
    if let Some(at) = names.iter().position(|name| *name == b".git") {
        return git(names.get(at + 1..).unwrap_or_default());
    }
    let matches = |pattern: &&str| within(&names, &pattern.to_ascii_lowercase());
    TABLE.iter().find_map(|(patterns, why)| patterns.iter().any(&matches).then_some(*why))
}

fn git(inside: &[&[u8]]) -> Option<&'static str> {
    match inside {
        [] => Some(".git itself says where git finds the repository, its hooks and configuration"),
        [b"objects", b"info", ..] => Some("says where git finds more objects"),
        [first, ..] if GIT_DATA.iter().any(|name| name.as_bytes() == *first) => None,
        [b"hooks", ..] => Some("is run by git"),
        _ => Some("is configuration of git, which names programs that it runs"),
    }
}

fn within(names: &[&[u8]], pattern: &str) -> bool {
    let (pattern, below) = match pattern.strip_suffix('/') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let wanted: Vec<&str> = pattern.split('/').collect();
    let fits = |part: &[&[u8]]| part.iter().zip(&wanted).all(|(name, wanted)| wild(name, wanted.as_bytes()));
    match below {
        true => names.windows(wanted.len()).any(fits),
        false => names.len().checked_sub(wanted.len()).and_then(|at| names.get(at..)).is_some_and(fits),
    }
}

/// One name against a pattern with `*`.
fn wild(name: &[u8], pattern: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| name.get(at..).is_some_and(|tail| wild(tail, rest))),
        Some((first, rest)) => name.split_first().is_some_and(|(c, tail)| c == first && wild(tail, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hands_trust_on() {
        for path in [
            ".git",
            ".git/config",
            ".git/hooks/pre-commit",
            "sub/.git/hooks/x",
            ".git/info/attributes",
            ".git/objects/info/alternates",
            ".GIT/Config",
            ".git/modules/a/config",
            ".gitmodules",
            "a/b/.gitattributes",
            ".github/workflows/ci.yml",
            ".gitlab-ci.yml",
            "Jenkinsfile",
            ".bashrc",
            ".envrc",
            ".vscode/tasks.json",
            ".vscode",
            "x.code-workspace",
            "package.json",
            "sub/package.json",
            "setup.py",
            "build.rs",
            ".cargo/config.toml",
            "AGENTS.md",
            "deep/HEAD",
            ".idea/x/y.xml",
        ] {
            assert!(hands_on(path.as_bytes()).is_some(), "{path}");
        }
        for path in [
            "src/main.rs",
            "Makefile",
            ".git/objects/ab/cd",
            ".git/refs/heads/main",
            ".git/index",
            ".git/HEAD",
            "README.md",
            "vscode/x",
            "bashrc",
            "build.rs.txt",
            "notes.package.json.md",
            "HEADER",
        ] {
            assert_eq!(hands_on(path.as_bytes()), None, "{path}");
        }
    }
}
