//! Values such as Argo CD stores: text that gzip has made into noise.

/// So many bytes that begin as gzip does. They are the same every time.
pub(crate) fn value(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        // Knuth's linear congruential generator; its upper bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    GZIP.iter().copied().chain(noise).take(size).collect()
}

/// Magic, deflate, no flags (RFC 1952, 2.3).
const GZIP: [u8; 4] = [0x1f, 0x8b, 8, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_size_and_is_the_same_every_time() {
        for size in [0, 3, 2700] {
            assert_eq!(value(size).len(), size);
        }
        assert_eq!(value(2700), value(2700));
        assert!(value(2700).windows(2).any(|pair| pair == b"\r\n" || pair.contains(&0)));
    }
}
