-- What happens in a visit: one row per possible step. `keep` is the chance that the step happens, `keep_keen` the chance for someone who
-- will buy or sign. The step 2 of each kind is left free for signing in. `gap` is the number of seconds between steps.
create table step as
select * from (values
    ('browse', 0, 'page', 'Home', '/', 0.8, 0.8), ('browse', 3, 'page', 'Category', '/c', 0.7, 0.8), ('browse', 4, 'track', 'Product List Viewed', '/c', 0.4, 0.5),
    ('browse', 5, 'track', 'Product Viewed', '/p', 0.75, 0.95), ('browse', 6, 'track', 'Product Viewed', '/p', 0.35, 0.7), ('browse', 7, 'track', 'Video Played', '/p', 0.06, 0.16),
    ('browse', 8, 'track', 'Product Viewed', '/p', 0.12, 0.35),
    ('search', 0, 'page', 'Home', '/', 0.6, 0.6), ('search', 3, 'track', 'Products Searched', '/search', 1.0, 1.0), ('search', 4, 'track', 'Product Viewed', '/p', 0.7, 0.9),
    ('search', 5, 'track', 'Products Searched', '/search', 0.25, 0.3), ('search', 6, 'track', 'Product Viewed', '/p', 0.3, 0.6), ('search', 7, 'track', 'Product Added', '/p', 0.05, 0.2),
    ('cart', 0, 'page', 'Home', '/', 0.5, 0.5), ('cart', 3, 'track', 'Product Viewed', '/p', 1.0, 1.0), ('cart', 4, 'track', 'Product Added', '/p', 1.0, 1.0),
    ('cart', 5, 'page', 'Cart', '/cart', 0.7, 0.9), ('cart', 6, 'track', 'Product Removed', '/cart', 0.2, 0.1), ('cart', 7, 'track', 'Checkout Started', '/checkout', 0.25, 0.55),
    ('purchase', 0, 'page', 'Home', '/', 0.6, 0.6), ('purchase', 3, 'track', 'Product Viewed', '/p', 1.0, 1.0), ('purchase', 4, 'track', 'Product Added', '/p', 1.0, 1.0),
    ('purchase', 5, 'page', 'Cart', '/cart', 0.9, 0.9), ('purchase', 6, 'track', 'Checkout Started', '/checkout', 1.0, 1.0), ('purchase', 7, 'track', 'Order Completed', '/checkout', 1.0, 1.0),
    ('signup', 0, 'page', 'Home', '/', 0.9, 0.9), ('signup', 4, 'page', 'Account', '/account', 0.8, 0.8), ('signup', 5, 'track', 'Product Viewed', '/p', 0.4, 0.8),
    ('account', 0, 'page', 'Home', '/', 0.4, 0.4), ('account', 4, 'page', 'Account', '/account', 1.0, 1.0), ('account', 5, 'page', 'Account', '/account/orders', 0.5, 0.7),
    ('help', 0, 'page', 'Home', '/', 0.3, 0.3), ('help', 3, 'page', 'Help', '/help', 1.0, 1.0), ('help', 4, 'page', 'Help', '/help/returns', 0.4, 0.4),
    ('content', 0, 'page', 'Business', '/business', 0.8, 0.8), ('content', 3, 'page', 'Case Studies', '/business/cases', 0.5, 0.7), ('content', 4, 'page', 'Blog', '/blog', 0.5, 0.4),
    ('content', 5, 'track', 'Video Played', '/business/cases', 0.08, 0.2), ('content', 6, 'page', 'Pricing', '/business/pricing', 0.08, 0.3),
    ('pricing', 0, 'page', 'Business', '/business', 0.7, 0.7), ('pricing', 3, 'page', 'Pricing', '/business/pricing', 1.0, 1.0), ('pricing', 4, 'page', 'Case Studies', '/business/cases', 0.3, 0.5),
    ('pricing', 5, 'page', 'Pricing', '/business/pricing', 0.25, 0.7), ('pricing', 6, 'page', 'Contact Sales', '/business/contact', 0.15, 0.35),
    ('whitepaper', 0, 'page', 'Business', '/business', 0.6, 0.6), ('whitepaper', 3, 'page', 'Whitepapers', '/business/whitepapers', 1.0, 1.0),
    ('whitepaper', 4, 'track', 'Form Submitted', '/business/whitepapers', 1.0, 1.0), ('whitepaper', 5, 'track', 'Whitepaper Downloaded', '/business/whitepapers', 0.9, 0.95),
    ('contact', 0, 'page', 'Business', '/business', 0.7, 0.7), ('contact', 3, 'page', 'Pricing', '/business/pricing', 0.5, 0.9), ('contact', 4, 'page', 'Contact Sales', '/business/contact', 1.0, 1.0),
    ('contact', 5, 'track', 'Form Submitted', '/business/contact', 1.0, 1.0),
    ('bot', 0, 'page', 'Home', '/', 1.0, 1.0), ('bot', 3, 'page', 'Category', '/c', 1.0, 1.0), ('bot', 4, 'page', 'Product', '/p', 1.0, 1.0), ('bot', 5, 'page', 'Product', '/p', 1.0, 1.0),
    ('bot', 6, 'page', 'Blog', '/blog', 1.0, 1.0), ('bot', 7, 'page', 'Pricing', '/business/pricing', 1.0, 1.0), ('bot', 8, 'page', 'Help', '/help', 0.9, 0.9)
) as t(visit_kind, step, call, name, path, keep, keep_keen);

create table page_title as
select * from (values ('Home', 'Lumen · light for every room'), ('Category', 'All lamps · Lumen'), ('Product', 'Lamp · Lumen'), ('Cart', 'Your cart · Lumen'), ('Account', 'My Lumen'),
    ('Help', 'Help · Lumen'), ('Business', 'Lumen for business'), ('Pricing', 'Plans and prices · Lumen for business'), ('Case Studies', 'Case studies · Lumen'),
    ('Whitepapers', 'Whitepapers · Lumen'), ('Contact Sales', 'Talk to us · Lumen'), ('Blog', 'Journal · Lumen')
) as t(name, title);
