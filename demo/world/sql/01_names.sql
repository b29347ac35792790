-- Names as lists. Chinese ones as [characters, pinyin], because the e-mail address is written in pinyin.
set variable family_cn = [['王','wang'],['李','li'],['张','zhang'],['刘','liu'],['陈','chen'],['杨','yang'],['黄','huang'],['赵','zhao'],
    ['吴','wu'],['周','zhou'],['徐','xu'],['孙','sun'],['马','ma'],['朱','zhu'],['胡','hu'],['郭','guo'],['何','he'],['林','lin'],
    ['高','gao'],['罗','luo'],['郑','zheng'],['梁','liang'],['谢','xie'],['宋','song'],['唐','tang'],['许','xu'],['韩','han'],['冯','feng'],
    ['邓','deng'],['曹','cao'],['彭','peng'],['曾','zeng'],['肖','xiao'],['田','tian'],['董','dong'],['潘','pan'],['袁','yuan'],['蔡','cai'],
    ['蒋','jiang'],['余','yu'],['于','yu'],['杜','du'],['叶','ye'],['程','cheng'],['魏','wei'],['苏','su'],['吕','lv'],['丁','ding'],
    ['欧阳','ouyang'],['司马','sima']];
set variable given_cn = [['伟','wei'],['芳','fang'],['娜','na'],['敏','min'],['静','jing'],['丽','li'],['强','qiang'],['磊','lei'],['军','jun'],
    ['洋','yang'],['勇','yong'],['艳','yan'],['杰','jie'],['娟','juan'],['涛','tao'],['明','ming'],['超','chao'],['霞','xia'],['平','ping'],
    ['刚','gang'],['桂英','guiying'],['子轩','zixuan'],['梓涵','zihan'],['浩然','haoran'],['欣怡','xinyi'],['宇航','yuhang'],['诗涵','shihan'],
    ['雨桐','yutong'],['俊杰','junjie'],['思远','siyuan'],['佳琪','jiaqi'],['晓东','xiaodong'],['建国','jianguo'],['秀英','xiuying'],
    ['志强','zhiqiang'],['海燕','haiyan'],['文博','wenbo'],['雅婷','yating'],['天宇','tianyu'],['梦洁','mengjie'],['春梅','chunmei'],['一鸣','yiming']];
set variable family_de = ['Müller','Schmidt','Schneider','Fischer','Weber','Meyer','Wagner','Becker','Schulz','Hoffmann','Schäfer','Koch','Bauer',
    'Richter','Klein','Wolf','Schröder','Neumann','Schwarz','Zimmermann','Braun','Krüger','Hofmann','Hartmann','Lange','Groß'];
set variable given_de = ['Anna','Lukas','Marie','Jonas','Lena','Felix','Sophie','Paul','Emma','Maximilian','Laura','Finn','Julia','Jürgen','Käthe','Björn'];
set variable family_en = ['Smith','Johnson','Williams','Brown','Jones','Garcia','Miller','Davis','Taylor','Anderson','Thomas','Jackson','White',
    'Harris','Martin','Thompson','Young','Walker','Hall','Allen','Wright','King','Scott','Green','Baker','Adams','Nelson','Hill','O''Brien','Campbell'];
set variable given_en = ['James','Mary','Robert','Patricia','John','Jennifer','Michael','Linda','David','Elizabeth','William','Susan','Richard','Jessica',
    'Joseph','Sarah','Thomas','Karen','Charles','Nancy','Daniel','Emily','Grace','Oliver','Amelia','Noah'];
set variable family_fr = ['Martin','Bernard','Dubois','Thomas','Robert','Richard','Petit','Durand','Leroy','Moreau','Lefèvre','Mercier','Garnier','François'];
set variable given_fr = ['Camille','Léa','Hugo','Chloé','Louis','Manon','Gabriel','Inès','Jules','Zoé','Raphaël','Élodie'];
set variable family_jp = [['佐藤','sato'],['鈴木','suzuki'],['高橋','takahashi'],['田中','tanaka'],['伊藤','ito'],['渡辺','watanabe'],['山本','yamamoto'],['中村','nakamura']];
set variable given_jp = [['陽菜','hina'],['蓮','ren'],['結衣','yui'],['大翔','hiroto'],['美咲','misaki'],['健太','kenta'],['葵','aoi'],['翔太','shota']];
set variable nickname_parts = ['小太阳','夜猫子','一盏灯','月半','Lucky','阿狸','星空','柠檬茶','大橘','momo','Sunny','追光者','慢慢来','kiki','老王','奶茶不加糖'];
set variable nickname_ends = ['','','','🌙','✨','💡','_','~','2026','🐱','88','.','👨‍👩‍👧','°'];

-- Letters of a name as they stand in an e-mail address: no umlauts, accents or apostrophes.
create macro plain_letters(name) as regexp_replace(lower(strip_accents(replace(name, 'ß', 'ss'))), '[^a-z]', '', 'g');

-- Countries with their share of the persons, as the upper end of a range in [0, 1).
create table country as
select * from (values
    ('CN', 0.73, 8, 'zh-CN', 'Asia/Shanghai', 'CNY', ['上海','北京','广州','深圳','杭州','成都','武汉','苏州','西安','南京']),
    ('US', 0.84, -5, 'en-US', 'America/New_York', 'USD', ['New York','Boston','Chicago','Atlanta','Miami']),
    ('DE', 0.92, 1, 'de-DE', 'Europe/Berlin', 'EUR', ['Berlin','Hamburg','München','Köln','Leipzig']),
    ('GB', 0.95, 0, 'en-GB', 'Europe/London', 'GBP', ['London','Leeds','Bristol']),
    ('FR', 0.98, 1, 'fr-FR', 'Europe/Paris', 'EUR', ['Paris','Lyon','Nantes']),
    ('JP', 1.00, 9, 'ja-JP', 'Asia/Tokyo', 'JPY', ['東京','大阪','福岡'])
) as t(country, up_to, utc_offset, locale, time_zone, currency, cities);

create macro drawn_country(u) as
    case when u < 0.73 then 'CN' when u < 0.84 then 'US' when u < 0.92 then 'DE' when u < 0.95 then 'GB' when u < 0.98 then 'FR' else 'JP' end;
