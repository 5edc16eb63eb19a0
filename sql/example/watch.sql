-- What changes in these tables, whoever changes it, drops the answers that show it: perfd.conf has the routes' tags.
SELECT perfd_watch('users', 'users', 'user:{id}', 'posts'); -- a user's name stands in lists of posts
SELECT perfd_watch('posts', 'posts', 'posts:{user_id}');
