//! Paths as text: what a flag means, before any file system is asked.

/// Splits at colons that no backslash stands before, and takes the backslashes away.
///
/// # Errors
/// If a backslash stands before anything but a colon or a backslash, or at the end.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let c = match c {
            ':' => {
                parts.push(String::new());
                continue;
            }
            '\\' => match rest.next() {
                Some(c @ (':' | '\\')) => c,
                _ => return Err("a backslash may only stand before a colon or a backslash".into()),
            },
            c => c,
        };
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    Ok(parts)
}

/// A path inside the sandbox: absolute, without `.`, empty components and a slash at the end.
///
/// # Errors
/// If it is relative, climbs with `..`, is too long for the kernel or holds a NUL.
pub fn inside(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("a path inside the sandbox begins with a slash".into());
    }
    if path.contains('\0') {
        return Err("a path cannot hold a NUL".into());
    }
    // PATH_MAX counts the NUL at the end.
    if path.len() >= 4096 {
        return Err("longer than 4095 bytes".into());
    }
    let mut clean = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err("a path inside the sandbox has no `..`".into());
        }
        clean.push('/');
        clean.push_str(part);
    }
    if clean.is_empty() {
        clean.push('/');
    }
    Ok(clean)
}

/// Whether it is absolute and says itself where it is: nothing of it depends on the current folder or on links.
pub fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == "..")
}

/// Whether `path` is `folder` or below it, by components (CVE-2025-54794 compared by characters).
pub fn within(path: &str, folder: &str) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || folder == "/",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_split_and_backslashes_keep_them() {
        assert_eq!(split("/a:/b"), Ok(vec!["/a".into(), "/b".into()]));
        assert_eq!(split("/a\\:b:/c\\\\d"), Ok(vec!["/a:b".into(), "/c\\d".into()]));
        assert_eq!(split(""), Ok(vec![String::new()]));
        assert!(split("/a\\n").is_err());
        assert!(split("/a\\").is_err());
    }

    #[test]
    fn paths_inside_are_cleaned() {
        assert_eq!(inside("//a/./b/"), Ok("/a/b".into()));
        assert_eq!(inside("/"), Ok("/".into()));
        assert!(inside("a").is_err());
        assert!(inside("/a/../b").is_err());
        assert!(inside("/a\0b").is_err());
        assert!(inside(&format!("/{}", "a".repeat(4095))).is_err());
    }

    #[test]
    fn within_compares_components() {
        assert!(within("/proc", "/proc"));
        assert!(within("/proc/1", "/proc"));
        assert!(!within("/procfs", "/proc"));
        assert!(within("/x", "/"));
    }
}
