//! Expressions from a seed: well-formed ones of each type, and hostile ones.

/// A small generator of numbers, the same on every machine (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(super) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const NUMBERS: [&str; 9] = ["0", "1", "2", "3", "60", "99.5", "0.25", "1e3", "7"];
const VARIABLES: [&str; 4] = ["requestCount", "errorCount", "availability", "previousHealth"];
const TEXTS: [&str; 6] = ["'a'", "'B'", "\"b\"", "''", "region", "svcHost"];

/// A number without unit trouble: every variable stands in a product.
pub(super) fn number(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return if random.below(2) == 0 { random.pick(&NUMBERS).to_owned() } else { format!("({} * 1)", random.pick(&VARIABLES)) };
    }
    let mut one = || number(random, depth - 1);
    let (a, b) = (one(), one());
    match random.below(9) {
        0 => format!("{a} + {b}"),
        1 => format!("({a} - {b})"),
        2 => format!("({a}) * ({b})"),
        3 => format!("({a}) / ({b})"),
        4 => format!("-({a})"),
        5 => format!("min({a}, {b})"),
        6 => format!("max({a}, abs({b}))"),
        7 => format!("round({a})"),
        _ => format!("({} ? {a} : {b})", condition(random, depth - 1)),
    }
}

pub(super) fn text(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 1 } else { 4 }) {
        0 => random.pick(&TEXTS).to_owned(),
        1 => format!("lower({})", text(random, depth - 1)),
        2 => "tag('t')".to_owned(),
        _ => format!("({} ? {} : {})", condition(random, depth - 1), text(random, depth - 1), text(random, depth - 1)),
    }
}

pub(super) fn condition(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return format!("{} {} {}", random.pick(&VARIABLES), random.pick(&["<", "<=", ">", ">=", "==", "!="]), random.pick(&NUMBERS));
    }
    match random.below(8) {
        0 => format!("({} && {})", condition(random, depth - 1), condition(random, depth - 1)),
        1 => format!("{} or {}", condition(random, depth - 1), condition(random, depth - 1)),
        2 => format!("not ({})", condition(random, depth - 1)),
        3 => format!("({}) in [1, -2, 60]", number(random, depth - 1)),
        4 => format!("{} {} ['a', 'b', '']", text(random, depth - 1), random.pick(&["in", "not in"])),
        5 => format!("{} == {}", text(random, depth - 1), text(random, depth - 1)),
        6 => {
            let function = random.pick(&["startsWith", "endsWith", "contains"]);
            format!("{function}({}, {})", text(random, depth - 1), text(random, depth - 1))
        }
        _ => {
            format!("({}) {} ({})", number(random, depth - 1), random.pick(&["<", "<=", ">", ">=", "==", "!="]), number(random, depth - 1))
        }
    }
}

const PIECES: [&str; 48] = [
    "(",
    ")",
    "[",
    "]",
    ",",
    "?",
    ":",
    "!",
    "-",
    "+",
    "*",
    "/",
    "<",
    "<=",
    "==",
    "!=",
    "&&",
    "||",
    " and ",
    " or ",
    " not ",
    " in ",
    "'a'",
    "\"",
    "'",
    "\\",
    "0",
    "9e999",
    "1e-400",
    "99.5%",
    "250ms",
    "9007199254740993",
    "requestCount",
    "availability",
    "svcHost",
    "tag('x')",
    "lower(",
    "min(",
    "availabilityLower(0.95)",
    "previousHealth",
    ";",
    "=",
    "é",
    "\u{202e}",
    "\0",
    "\u{1F600}",
    " ",
    "\n",
];

/// Anything: pieces in no order, or a well-formed expression with a few bytes changed, doubled or cut.
pub(super) fn hostile(random: &mut Random) -> String {
    if random.below(2) == 0 {
        let many = 1 + random.below(40);
        return (0..many).map(|_| random.pick(&PIECES)).collect();
    }
    let depth = 1 + random.below(4);
    let mut source = format!("{} ? {} : {}", condition(random, depth), number(random, depth), random.below(5));
    for _ in 0..random.below(4) {
        let places: Vec<usize> = source.char_indices().map(|(at, _)| at).collect();
        let at = places[random.below(places.len())];
        match random.below(4) {
            0 => source.truncate(at),
            1 => source.insert_str(at, random.pick(&PIECES)),
            2 => drop(source.remove(at)),
            _ => source = source.repeat(2),
        }
        if source.is_empty() {
            break;
        }
    }
    source
}
